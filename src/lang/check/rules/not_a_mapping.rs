//! `.name` of text, a number, a boolean or a list.

use crate::check::scope::Problem;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "not-a-mapping",
    level: Level::Tidegate,
    about: "a key is read from something that has no keys",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        if let Problem::NotAMap { found: kind, name } = &finding.problem {
            let text = format!("`{name}` is read from {}, which has no keys", kind.noun());
            found.push(Diagnostic::error(RULE.id, finding.span, text).help("the result is always null"));
        }
    }
    found
}
