//! Outputs and artifacts that a job or an action does not have.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-output",
    level: Level::Tidegate,
    about: "an output or artifact is read that its job or action does not declare",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        let (owner, what, key) = match &shape.kind {
            Kind::JobOutputs(job) => (format!("job `{job}`"), "output", "outputs"),
            Kind::Artifacts(job) => (format!("job `{job}`"), "artifact", "produces"),
            Kind::StepOutputs(step) => (format!("the action of step `{step}`"), "output", "outputs"),
            _ => continue,
        };
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        let mut diagnostic =
            Diagnostic::error(RULE.id, finding.span, format!("{owner} has no {what} `{name}`"));
        if let Some(near) = nearest(name, known.clone()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        let help = if shape.fields.is_empty() {
            format!("it declares nothing under `{key}`")
        } else {
            format!("under `{key}`: {}", list(known))
        };
        found.push(diagnostic.help(help));
    }
    found
}
