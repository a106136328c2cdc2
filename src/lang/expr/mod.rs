//! `${{ }}`: lexer, parser, syntax tree, evaluator, functions and templates.
//!
//! Grammar, coercions and functions are GitHub's ("Evaluate expressions in workflows and
//! actions"); Tidegate adds `best()` and the contexts of its own keys.

mod answer;
mod ast;
mod eval;
mod functions;
mod lexer;
mod near;
mod parser;
mod template;

pub use answer::{JsonContexts, answer, evaluate_text};
pub use ast::{BinaryOp, Expr, ExprKind};
pub use eval::{EvalError, Host, Stage, Status, evaluate};
pub use near::closest;
pub use parser::{AnyNames, Names, parse, parse_with};
pub use template::{Part, Template};
