//! The syntax tree of one expression.

use crate::value::Value;
use std::sync::Arc;

/// One expression with the byte range of its text inside `${{ }}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// First byte, counted from the start of the expression's text.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// The shapes of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Value),
    /// A context by its name, such as `github`.
    Context(Arc<str>),
    /// `a.b`.
    Property(Box<Expr>, Arc<str>),
    /// `a[b]`.
    Index(Box<Expr>, Box<Expr>),
    /// `a.*` or `a[*]`.
    Star(Box<Expr>),
    /// `f(a, b)`; the name as written.
    Call(Arc<str>, Vec<Expr>),
    /// `!a`.
    Not(Box<Expr>),
    /// `a op b`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
}

/// Operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}
