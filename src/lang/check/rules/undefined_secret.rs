//! `secrets.<NAME>` that a called workflow does not declare.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-secret",
    level: Level::Warning,
    about: "a workflow that is only called reads a secret that it does not declare",
    check,
};

// Callers with `secrets: inherit` may still pass it, hence a warning.
fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        if shape.kind != Kind::Secrets {
            continue;
        }
        let text = format!("secret `{name}` is not declared by this called workflow");
        let mut diagnostic = Diagnostic::warning(RULE.id, finding.span, text);
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        if let Some(near) = nearest(name, known.clone()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        found.push(
            diagnostic
                .help(format!("under `on.workflow_call.secrets` and given by the system: {}", list(known))),
        );
    }
    found
}
