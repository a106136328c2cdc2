//! `${{ }}`: lexer, parser, syntax tree, static check, evaluator, functions and templates.
//!
//! Grammar, coercions and functions are GitHub's ("Evaluate expressions in workflows and
//! actions"); Tidegate adds `best()` and the contexts of its own keys.

mod ast;
mod eval;
mod template;

pub use ast::{BinaryOp, Expr, ExprKind};
pub use eval::{EvalError, Host, Stage, Status, evaluate};
pub use template::{Part, Template};
