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

impl BinaryOp {
    /// Returns how it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }
}

impl Expr {
    /// Calls `visit` for this expression and every one inside it.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Context(_) => {}
            ExprKind::Property(a, _) | ExprKind::Star(a) | ExprKind::Not(a) => a.walk(visit),
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            ExprKind::Call(_, arguments) => arguments.iter().for_each(|a| a.walk(visit)),
        }
    }

    /// Tells whether it calls one of the status functions, which take the place of the implicit
    /// `success()` of an `if`.
    pub fn has_status_function(&self) -> bool {
        let mut found = false;
        self.walk(&mut |e| {
            if let ExprKind::Call(name, _) = &e.kind {
                found |= ["success", "failure", "always", "cancelled"]
                    .iter()
                    .any(|f| name.eq_ignore_ascii_case(f));
            }
        });
        found
    }
}
