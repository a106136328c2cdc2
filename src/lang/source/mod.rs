//! Text, places in it, YAML as spanned nodes, and what is wrong with it.

mod diagnostic;
mod node;
mod span;

pub use diagnostic::{Diagnostic, Fix, Label, Severity};
pub use node::{Entry, Node, NodeKind, Scalar, ScalarStyle};
pub use span::{FileId, Source, Sources, Span, Spanned};
