//! Passwords written into the file.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Container;

pub(super) const RULE: Rule = Rule {
    id: "plain-password",
    level: Level::Tidegate,
    about: "a registry's password is written into the file",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut containers: Vec<&Container> = Vec::new();
    for job in &facts.workflow.jobs {
        containers.extend(job.container.as_deref());
        containers.extend(job.services.iter().map(|(_, c)| c));
    }
    containers.extend(facts.steps().filter_map(|(_, s)| s.container.as_deref()));
    let passwords =
        containers.into_iter().filter_map(|c| c.credentials.as_ref().map(|(_, password)| password));
    passwords
        .filter(|p| p.is_literal() && !p.raw.is_empty())
        .map(|p| {
            Diagnostic::error(RULE.id, p.span, "this password is in the file for all to read")
                .help("keep it as a secret: `password: ${{ secrets.REGISTRY_PASSWORD }}`")
        })
        .collect()
}
