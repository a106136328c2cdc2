//! Values of keys that may hold expressions.

use crate::expr::Template;
use crate::source::{Span, Spanned};

/// A typed value, or the expression that will give it. Expressions are only those that are the
/// whole scalar (`${{ … }}`), except for `T = String`, where text may surround them.
#[derive(Clone, Debug, PartialEq)]
pub enum Dynamic<T> {
    /// Known from the file.
    Fixed(T),
    /// Known when it is evaluated.
    Expr(Template),
}

/// A YAML value with expressions at any depth (`matrix`, `with`, `env`, `inputs`).
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// What it is.
    pub kind: TreeKind,
    /// Where.
    pub span: Span,
}

/// The shapes of a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub enum TreeKind {
    /// `null`, a boolean or a number of YAML's core schema, or text without an expression.
    Literal(crate::value::Value),
    /// Text with at least one expression.
    Template(Template),
    /// A list.
    Sequence(Vec<Tree>),
    /// A map in file order; keys may be expressions where GitHub allows it (`${{ insert }}`).
    Mapping(Vec<(Spanned<Template>, Tree)>),
}
