//! Why a condition is false, in words with the values in it.

use super::Contexts;
use tidegate_lang::expr::{BinaryOp, Expr, ExprKind, Template, evaluate};
use tidegate_lang::value::Value;

/// Says why a condition that was found false is false, such as
/// `github.ref is refs/heads/x, not refs/heads/main`.
pub(super) fn why_false(condition: &Template, contexts: &Contexts) -> String {
    let mut expressions = condition.expressions();
    match (expressions.next(), expressions.next()) {
        (Some((expr, at)), None) => Why { raw: &condition.raw, at, contexts }.explain(expr),
        _ => format!("`{}` is false", condition.raw.trim()),
    }
}

/// Says why one part of a condition is false; `at` is where the expression starts in `raw`.
pub(super) fn why_part(raw: &str, at: u32, part: &Expr, contexts: &Contexts) -> String {
    Why { raw, at, contexts }.explain(part)
}

/// The text of a condition and the values behind it.
struct Why<'a> {
    raw: &'a str,
    at: u32,
    contexts: &'a Contexts,
}

impl Why<'_> {
    /// Returns an expression as it is written.
    fn written(&self, expr: &Expr) -> &str {
        let from = self.at.saturating_add(expr.start) as usize;
        let to = self.at.saturating_add(expr.end) as usize;
        self.raw.get(from..to).unwrap_or_default().trim()
    }

    /// Explains why an expression is false.
    fn explain(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Binary(BinaryOp::And, a, b) => {
                if self.truthy(a) {
                    self.explain(b)
                } else {
                    self.explain(a)
                }
            }
            ExprKind::Binary(BinaryOp::Or, a, b) => format!("{}, and {}", self.explain(a), self.explain(b)),
            ExprKind::Binary(op, a, b) => self.comparison(*op, a, b),
            ExprKind::Not(inner) => match &inner.kind {
                ExprKind::Call(..) | ExprKind::Binary(..) => format!("{} is true", self.written(inner)),
                _ => self.is(inner),
            },
            ExprKind::Literal(value) => format!("it is {}", words(value)),
            ExprKind::Call(name, arguments) if arguments.is_empty() => format!("{name}() is false"),
            ExprKind::Call(name, arguments) => self.call(name, arguments, expr),
            _ => self.is(expr),
        }
    }

    fn is(&self, expr: &Expr) -> String {
        format!("{} is {}", self.written(expr), self.show(expr))
    }

    fn comparison(&self, op: BinaryOp, a: &Expr, b: &Expr) -> String {
        let (a, b, op) =
            if matches!(a.kind, ExprKind::Literal(_)) { (b, a, mirrored(op)) } else { (a, b, op) };
        let left = self.is(a);
        let right = if matches!(b.kind, ExprKind::Literal(_)) {
            self.show(b)
        } else {
            format!("{} ({})", self.written(b), self.show(b))
        };
        match op {
            BinaryOp::Equal => format!("{left}, not {right}"),
            BinaryOp::NotEqual => left,
            _ => format!("{left}, not {} {right}", op.symbol()),
        }
    }

    /// `contains(x, 'y')` and the like: the call and what it looked into.
    fn call(&self, name: &str, arguments: &[Expr], expr: &Expr) -> String {
        let verb = match name.to_ascii_lowercase().as_str() {
            "contains" => "which does not contain",
            "startswith" => "which does not start with",
            "endswith" => "which does not end with",
            _ => return self.is(expr),
        };
        match arguments {
            [within, part] => format!("{}, {verb} {}", self.is(within), self.show(part)),
            _ => format!("{} is false", self.written(expr)),
        }
    }

    fn truthy(&self, expr: &Expr) -> bool {
        evaluate(expr, self.contexts).is_ok_and(|value| value.truthy())
    }

    fn show(&self, expr: &Expr) -> String {
        match evaluate(expr, self.contexts) {
            Ok(value) => words(&value),
            Err(error) => format!("in error: {error}"),
        }
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_primitive) => {
            format!(
                "[{}]",
                items.iter().map(|item| item.to_text().to_string()).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => other.to_text().to_string(),
    }
}

/// The operator as it reads with its sides exchanged.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEqual => BinaryOp::GreaterEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEqual => BinaryOp::LessEqual,
        other => other,
    }
}
