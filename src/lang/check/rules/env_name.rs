//! Names of environment variables that no process can be given.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Spanned};
use crate::workflow::Env;

pub(super) const RULE: Rule = Rule {
    id: "env-name",
    level: Level::Tidegate,
    about: "an environment variable has a name that cannot work",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    names(&facts.workflow.env, &mut found);
    for job in &facts.workflow.jobs {
        names(&job.env, &mut found);
        job.container.iter().for_each(|c| names(&c.env, &mut found));
        job.services.iter().for_each(|(_, c)| names(&c.env, &mut found));
    }
    for (_, step) in facts.steps() {
        names(&step.env, &mut found);
    }
    found
}

fn names(env: &Env, found: &mut Vec<Diagnostic>) {
    found.extend(env.variables.iter().filter_map(|(name, _)| finding(name)));
}

fn finding(name: &Spanned<String>) -> Option<Diagnostic> {
    let text = name.value.as_str();
    // An expression as a name is the parser's matter.
    if text.contains("${{") {
        return None;
    }
    let bad = text.chars().find(|c| matches!(c, '=' | '&' | '\0') || c.is_whitespace());
    let message = match bad {
        Some(c) => format!("`{text}` cannot be the name of a variable: it contains {c:?}"),
        None if text.is_empty() => "a variable needs a name".to_owned(),
        None => return None,
    };
    Some(Diagnostic::error(RULE.id, name.span, message).help("use letters, digits and `_`"))
}
