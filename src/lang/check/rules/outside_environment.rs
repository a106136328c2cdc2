//! `register` and `deploy` in a job without a declared environment.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Action;

pub(super) const RULE: Rule = Rule {
    id: "outside-environment",
    level: Level::Error,
    about: "`register` or `deploy` stands in a job without `environment`",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (job, step) in facts.steps() {
        let (word, span) = match &step.action {
            Action::Register(register) => ("register", register.span),
            Action::Deploy(deploy) => ("deploy", deploy.span),
            _ => continue,
        };
        if job.environment.is_none() {
            let text = format!("`{word}` is refused here: `{}` declares no `environment`", job.id.value);
            found.push(
                Diagnostic::error(RULE.id, span, text)
                    .related(job.id.span, "this job")
                    .help("add `environment: NAME`: it says what the job changes"),
            );
        }
    }
    found
}
