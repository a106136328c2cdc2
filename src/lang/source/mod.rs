//! Text, places in it, YAML as spanned nodes, and what is wrong with it.

mod decode;
mod diagnostic;
mod load;
mod node;
mod place;
mod render;
mod span;

pub use decode::decode;
pub use diagnostic::{Diagnostic, Fix, Label, Pass, Severity, in_order};
pub use load::{MAX_BYTES, MergeKeys, load, load_with};
pub use node::{Entry, Node, NodeKind, Scalar, ScalarStyle};
pub use place::place_in;
pub use render::{Style, render};
pub use span::{FileId, Source, Sources, Span, Spanned};
