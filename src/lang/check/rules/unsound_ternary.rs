//! `condition && '' || 'other'`: what is false-like never comes out.

use crate::check::{Facts, Level, Rule};
use crate::expr::{BinaryOp, Expr, ExprKind};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "unsound-ternary",
    level: Level::Warning,
    about: "`condition && value || other` with a value that counts as false always gives the other",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    facts.walk(|_, e, inside| {
        if let Some(value) = lost(e) {
            let text = "this counts as false, so `||` takes what comes behind it";
            found.push(
                Diagnostic::warning(RULE.id, facts.context.place(inside, value), text)
                    .help("write `case(condition, value, other)`"),
            );
        }
    });
    found
}

/// The value of `condition && value || other` that never comes out. Where the other one counts as
/// false as well it is a test, and nothing is lost.
fn lost(e: &Expr) -> Option<&Expr> {
    let ExprKind::Binary(BinaryOp::Or, left, other) = &e.kind else { return None };
    let ExprKind::Binary(BinaryOp::And, _, value) = &left.kind else { return None };
    let never = |e: &Expr| matches!(&e.kind, ExprKind::Literal(value) if !value.truthy());
    (never(value) && !never(other)).then_some(value)
}
