//! `matrix.<key>` that the matrix of the job does not have.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-matrix-key",
    level: Level::Tidegate,
    about: "`matrix.<key>` is not a key of the job's matrix",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        if shape.kind != Kind::Matrix {
            continue;
        }
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        let mut diagnostic =
            Diagnostic::error(RULE.id, finding.span, format!("the matrix has no key `{name}`"));
        if let Some(near) = nearest(name, known.clone()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        found.push(diagnostic.help(if shape.fields.is_empty() {
            "this job has no matrix".to_owned()
        } else {
            format!("its keys are {}", list(known))
        }));
    }
    found
}
