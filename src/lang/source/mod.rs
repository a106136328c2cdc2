//! Text, places in it, YAML as spanned nodes, and what is wrong with it.

mod diagnostic;
mod load;
mod node;
mod render;
mod span;

pub use diagnostic::{Diagnostic, Fix, Label, Pass, Severity, in_order};
pub use load::{MAX_BYTES, MergeKeys, decode, load, load_with, place_in};
pub use node::{Entry, Node, NodeKind, Scalar, ScalarStyle};
pub use render::{Style, render};
pub use span::{FileId, Source, Sources, Span, Spanned};
