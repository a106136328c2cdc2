//! Evaluation: an expression and its surroundings give a value.
//!
//! Not here: which contexts are legal where (`expr::parser`, through `Names`).

use super::functions;
use super::{BinaryOp, Expr, ExprKind};
use crate::value::Value;
use std::cmp::Ordering;

/// What an expression may ask of its surroundings.
pub trait Host {
    /// Returns a context (`github`, `env`, …) by its name in any case; `None` if there is none.
    fn context(&self, name: &str) -> Option<Value>;

    /// Hashes the files that match GitHub's `hashFiles` patterns below the work folder: SHA-256 in
    /// hex over the sorted files' SHA-256 digests, empty text if nothing matches.
    fn hash_files(&self, patterns: &[String]) -> Result<String, String>;

    /// Returns what the status functions answer at this place; `None` where they are not legal.
    fn status(&self) -> Option<Status>;
}

/// What the status functions answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// `success()`
    pub success: bool,
    /// `failure()`
    pub failure: bool,
    /// `cancelled()`
    pub cancelled: bool,
}

/// Where an expression went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not a word of the language.
    Lexing,
    /// Words in the wrong order; unknown names; wrong number of arguments.
    Parsing,
    /// Well formed, and wrong with these values.
    Evaluation,
}

impl Stage {
    /// Returns the stage's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lexing => "lexing",
            Self::Parsing => "parsing",
            Self::Evaluation => "evaluation",
        }
    }
}

/// Why an expression gives no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// The stage that failed.
    pub stage: Stage,
    /// What is wrong.
    pub message: String,
    /// The byte of the expression's text where it is wrong.
    pub offset: u32,
}

/// A value, and whether it is the result of `*`: then further parts apply to each item.
struct Part {
    value: Value,
    filtered: bool,
}

/// Evaluates an expression. The parser's limits on length and depth bound the work.
pub fn evaluate(expr: &Expr, host: &dyn Host) -> Result<Value, EvalError> {
    Ok(part(expr, host)?.value)
}

fn part(expr: &Expr, host: &dyn Host) -> Result<Part, EvalError> {
    let plain = |value| Part { value, filtered: false };
    Ok(match &expr.kind {
        ExprKind::Literal(value) => plain(value.clone()),
        ExprKind::Context(name) => plain(host.context(name).unwrap_or_default()),
        ExprKind::Property(of, name) => index(part(of, host)?, &Value::String(name.clone())),
        ExprKind::Index(of, at) => {
            let of = part(of, host)?;
            index(of, &evaluate(at, host)?)
        }
        ExprKind::Star(of) => star(&part(of, host)?),
        ExprKind::Call(name, arguments) if name.eq_ignore_ascii_case("case") => case(arguments, host)?,
        ExprKind::Call(name, arguments) => {
            let values = arguments.iter().map(|a| evaluate(a, host)).collect::<Result<Vec<_>, _>>()?;
            plain(functions::call(name, &values, host, expr.start)?)
        }
        ExprKind::Not(of) => plain(Value::Bool(!evaluate(of, host)?.truthy())),
        ExprKind::Binary(op @ (BinaryOp::Or | BinaryOp::And), left, right) => {
            let left = part(left, host)?;
            if left.value.truthy() == (*op == BinaryOp::Or) { left } else { part(right, host)? }
        }
        ExprKind::Binary(op, left, right) => plain(compare(*op, left, right, host)?),
    })
}

/// The value behind the first true condition; only what is needed is evaluated.
fn case(arguments: &[Expr], host: &dyn Host) -> Result<Part, EvalError> {
    let mut pairs = arguments.chunks_exact(2);
    for pair in &mut pairs {
        let [condition, value] = pair else { continue };
        match evaluate(condition, host)? {
            Value::Bool(true) => return part(value, host),
            Value::Bool(false) => {}
            other => {
                let message = format!("case: a condition is a boolean, not {}", other.kind().to_lowercase());
                return Err(functions::error(message, condition.start));
            }
        }
    }
    match pairs.remainder() {
        [default] => part(default, host),
        _ => Ok(Part { value: Value::Null, filtered: false }),
    }
}

fn compare(op: BinaryOp, left: &Expr, right: &Expr, host: &dyn Host) -> Result<Value, EvalError> {
    let left = evaluate(left, host)?;
    let right = evaluate(right, host)?;
    let order = || left.loosely_compare(&right);
    Ok(Value::Bool(match op {
        BinaryOp::Equal => left.loosely_equals(&right),
        BinaryOp::NotEqual => !left.loosely_equals(&right),
        BinaryOp::Less => order() == Some(Ordering::Less),
        BinaryOp::LessEqual => order() == Some(Ordering::Less) || left.loosely_equals(&right),
        BinaryOp::Greater => order() == Some(Ordering::Greater),
        BinaryOp::GreaterEqual => order() == Some(Ordering::Greater) || left.loosely_equals(&right),
        BinaryOp::Or | BinaryOp::And => false,
    }))
}

fn index(of: Part, at: &Value) -> Part {
    if of.filtered {
        let Value::Array(items) = &of.value else { return of };
        let found = items.iter().filter_map(|item| lookup(item, at)).collect();
        return Part { value: Value::array(found), filtered: true };
    }
    Part { value: lookup(&of.value, at).unwrap_or_default(), filtered: false }
}

fn lookup(of: &Value, at: &Value) -> Option<Value> {
    match of {
        Value::Object(object) if at.is_primitive() => object.get(&at.to_text()).cloned(),
        Value::Array(items) => {
            let number = at.to_number().floor();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be in range"
            )]
            (0.0..4e9).contains(&number).then_some(number as usize).and_then(|i| items.get(i)).cloned()
        }
        _ => None,
    }
}

fn star(of: &Part) -> Part {
    let children = |value: &Value| -> Vec<Value> {
        match value {
            Value::Array(items) => items.to_vec(),
            Value::Object(object) => object.iter().map(|(_, v)| v.clone()).collect(),
            _ => Vec::new(),
        }
    };
    let found = match (&of.value, of.filtered) {
        (Value::Array(items), true) => items.iter().flat_map(children).collect(),
        (value, _) => children(value),
    };
    Part { value: Value::array(found), filtered: true }
}
