//! `data.<name>` that the file does not define, in expressions and under `on.data`.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Span};

pub(super) const RULE: Rule = Rule {
    id: "undefined-data",
    level: Level::Tidegate,
    about: "a data source is named that `data` does not define",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        if let Problem::Missing { shape, name } = &finding.problem
            && shape.kind == Kind::Data
        {
            found.push(missing(facts, name, finding.span));
        }
    }
    for trigger in &facts.workflow.on.data {
        let name = &trigger.source.value;
        if !facts.workflow.data.iter().any(|d| d.name.value.eq_ignore_ascii_case(name)) {
            found.push(missing(facts, name, trigger.source.span));
        }
    }
    found
}

fn missing(facts: &Facts<'_>, name: &str, span: Span) -> Diagnostic {
    let known = facts.workflow.data.iter().map(|d| d.name.value.as_str());
    let mut diagnostic = Diagnostic::error(RULE.id, span, format!("there is no data source `{name}`"));
    if let Some(near) = nearest(name, known.clone()) {
        diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
    }
    diagnostic.help(if facts.workflow.data.is_empty() {
        "define it under `data` at the top of the file".to_owned()
    } else {
        format!("under `data`: {}", list(known))
    })
}
