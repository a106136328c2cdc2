//! `${{ }}`: lexer, parser, syntax tree, evaluator, functions and templates.
//!
//! Grammar, coercions and functions are GitHub's ("Evaluate expressions in workflows and
//! actions"); Tidegate adds `best()` and the contexts of its own keys.

mod answer;
mod ast;
mod eval;
mod functions;
mod lexer;
mod names;
mod near;
#[cfg(test)]
mod oracle;
mod parser;
mod reads;
mod template;
#[cfg(test)]
mod tests;

pub use answer::{JsonContexts, answer, evaluate_text};
pub use ast::{BinaryOp, Expr, ExprKind};
pub use eval::{EvalError, Host, Stage, Status, evaluate};
pub use names::{AnyNames, Names};
pub use near::closest;
pub use parser::{parse, parse_with};
pub use reads::{Read, Step, reads};
pub use template::{Part, Template, quoted_text};
