//! `inputs.<name>` that no trigger declares.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-input",
    level: Level::Tidegate,
    about: "`inputs.<name>` is declared by neither `workflow_dispatch` nor `workflow_call`",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        if shape.kind != Kind::Inputs {
            continue;
        }
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        let mut diagnostic = Diagnostic::error(RULE.id, finding.span, format!("there is no input `{name}`"));
        if let Some(near) = nearest(name, known.clone()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        found.push(diagnostic.help(if shape.fields.is_empty() {
            "declare it under `on.workflow_dispatch.inputs` or `on.workflow_call.inputs`".to_owned()
        } else {
            format!("the inputs are {}", list(known))
        }));
    }
    found
}
