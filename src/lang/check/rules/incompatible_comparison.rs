//! Comparisons between a list or mapping and something else.

use crate::check::scope::Problem;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "incompatible-comparison",
    level: Level::Tidegate,
    about: "a list or a mapping is compared with a value that it can never equal",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        if let Problem::NeverEqual { left, right } = &finding.problem {
            let text =
                format!("{} is compared with {}: the answer is always the same", left.noun(), right.noun());
            let help = "use `contains(list, value)`, or compare one of its keys";
            found.push(Diagnostic::error(RULE.id, finding.span, text).help(help));
        }
    }
    found
}
