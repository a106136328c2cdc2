//! The same value twice in one row of a matrix.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::{Tree, TreeKind};

pub(super) const RULE: Rule = Rule {
    id: "matrix-duplicate",
    level: Level::Warning,
    about: "a row of a matrix has a value twice, so the same instance runs twice",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for matrix in facts.workflow.jobs.iter().filter_map(|j| j.strategy.as_ref()?.matrix.as_ref()) {
        let TreeKind::Mapping(entries) = &matrix.kind else { continue };
        for (name, row) in entries {
            let TreeKind::Sequence(items) = &row.kind else { continue };
            if matches!(name.value.raw.as_ref(), "include" | "exclude") || items.len() > 1_000 {
                continue;
            }
            for (index, item) in items.iter().enumerate() {
                if let Some(first) = items.iter().take(index).find(|other| same(other, item)) {
                    let text = format!("this value is already in row `{}`", name.value.raw);
                    found.push(
                        Diagnostic::warning(RULE.id, item.span, text).related(first.span, "first here"),
                    );
                }
            }
        }
    }
    found
}

/// Compares values without their places; an expression equals nothing.
fn same(a: &Tree, b: &Tree) -> bool {
    match (&a.kind, &b.kind) {
        (TreeKind::Literal(x), TreeKind::Literal(y)) => x == y,
        (TreeKind::Sequence(x), TreeKind::Sequence(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (TreeKind::Mapping(x), TreeKind::Mapping(y)) => {
            x.len() == y.len()
                && x.iter().all(|(k, v)| y.iter().any(|(l, w)| k.value.raw == l.value.raw && same(v, w)))
        }
        _ => false,
    }
}
