//! Comparisons whose answer is always the same, or means nothing.

use crate::check::scope::Problem;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "incompatible-comparison",
    level: Level::Tidegate,
    about: "a comparison of values of two kinds, whose answer is always the same",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let (text, help) = match &finding.problem {
            Problem::NeverEqual { left, right } => (
                format!("{} is compared with {}: the answer is always the same", left.noun(), right.noun()),
                "use `contains(list, value)`, or compare one of its keys",
            ),
            Problem::NeverText { found } => (
                format!("{} is no text, so the answer is always false", found.noun()),
                "name the key that is meant, or use `contains(list, value)`",
            ),
            Problem::NoOrder => (
                "a boolean is neither more nor less than something".to_owned(),
                "compare a number, or use the boolean as it is",
            ),
            Problem::Missing { .. } | Problem::NotAMap { .. } | Problem::PrintsNothing { .. } => continue,
        };
        found.push(Diagnostic::error(RULE.id, finding.span, text).help(help));
    }
    found
}
