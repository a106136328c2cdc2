//! Conditions that are the same in every run.

use super::access::expressions;
use crate::expr::{Expr, ExprKind, Host, Status, Template, evaluate};
use crate::value::Value;

/// Returns what a condition always is, if it reads nothing that a run could change.
pub(super) fn constant(condition: &Template) -> Option<bool> {
    if is_text(condition) {
        return Some(true);
    }
    let mut all = expressions(condition);
    let (expr, _) = all.next()?;
    if all.next().is_some() || !is_pure(expr) {
        return None;
    }
    evaluate(expr, &Nothing).ok().map(|v| v.truthy())
}

/// Tells whether a condition has text around its `${{ }}`: then it is text, and always true.
pub(super) fn is_text(condition: &Template) -> bool {
    condition.raw.contains("${{") && condition.parts.len() > 1
}

fn is_pure(expr: &Expr) -> bool {
    let mut pure = true;
    expr.walk(&mut |e| match &e.kind {
        ExprKind::Context(_) => pure = false,
        ExprKind::Call(name, _) => {
            let known = ["contains", "startswith", "endswith", "format", "join", "tojson", "fromjson"];
            pure &= known.iter().any(|k| k.eq_ignore_ascii_case(name));
        }
        _ => {}
    });
    pure
}

/// Surroundings without anything.
struct Nothing;

impl Host for Nothing {
    fn context(&self, _name: &str) -> Option<Value> {
        None
    }

    fn hash_files(&self, _patterns: &[String]) -> Result<String, String> {
        Err("no files here".to_owned())
    }

    fn status(&self) -> Option<Status> {
        None
    }
}
