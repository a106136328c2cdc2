//! `steps.<id>` where no earlier step of the job has this id.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::JobKind;

pub(super) const RULE: Rule = Rule {
    id: "undefined-step",
    level: Level::Tidegate,
    about: "`steps.<id>` names a step that does not run before it",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        if shape.kind != Kind::Steps {
            continue;
        }
        let steps = match finding.site.job.map(|j| &j.kind) {
            Some(JobKind::Steps(steps)) => steps.as_slice(),
            _ => &[],
        };
        let later = steps.iter().find_map(|s| s.id.as_ref().filter(|id| id.value.eq_ignore_ascii_case(name)));
        let mut diagnostic = match later {
            Some(id) => {
                Diagnostic::error(RULE.id, finding.span, format!("step `{name}` has not run yet here"))
                    .related(id.span, "it is this step")
                    .help("only the steps above have results")
            }
            None => {
                Diagnostic::error(RULE.id, finding.span, format!("no step of this job has the id `{name}`"))
            }
        };
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        if later.is_none() {
            if let Some(near) = nearest(name, known.clone()) {
                diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
            }
            diagnostic = diagnostic.help(if shape.fields.is_empty() {
                "no step above has an `id`".to_owned()
            } else {
                format!("steps with an id above: {}", list(known))
            });
        }
        found.push(diagnostic);
    }
    found
}
