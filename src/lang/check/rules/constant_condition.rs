//! `if` conditions that never change.

use crate::check::cases::{constant, is_text};
use crate::check::{Facts, Level, Rule};
use crate::expr::Template;
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "constant-condition",
    level: Level::Tidegate,
    about: "an `if` is always true or always false",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let jobs = facts.workflow.jobs.iter().filter_map(|j| j.condition.as_ref());
    let steps = facts.steps().filter_map(|(_, s)| s.condition.as_ref());
    jobs.chain(steps).filter_map(finding).collect()
}

fn finding(condition: &Template) -> Option<Diagnostic> {
    if is_text(condition) {
        let text = "this condition is always true: text around `${{ }}` makes it text";
        return Some(Diagnostic::error(RULE.id, condition.span, text).help(
            if condition.raw.ends_with('\n') {
                "the line break at the end of a block is such text: leave `${{ }}` out, or write `|-`"
            } else {
                "write the whole condition as one expression, without `${{ }}`"
            },
        ));
    }
    let value = constant(condition)?;
    let text = format!("this condition is always {value}");
    // Switching something off with `if: false` is a habit, not an accident.
    Some(Diagnostic::warning(RULE.id, condition.span, text))
}
