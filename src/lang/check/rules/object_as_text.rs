//! A list or mapping where text is made of it.

use crate::check::scope::{Problem, Type};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "object-as-text",
    level: Level::Tidegate,
    about: "a list or a mapping is put into text, where it becomes the word Array or Object",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        if let Problem::PrintsNothing { found: kind } = &finding.problem {
            let word = if matches!(kind, Type::Array(_)) { "Array" } else { "Object" };
            let text = format!("{} in text becomes the word `{word}`", kind.noun());
            let help = "wrap it in `toJSON(…)`, or name the key that is meant";
            found.push(Diagnostic::error(RULE.id, finding.span, text).help(help));
        }
    }
    found
}
