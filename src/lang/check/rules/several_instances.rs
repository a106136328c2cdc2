//! `needs.<job>.outputs` and the like of a job with several instances: which one is meant?

use crate::check::access::Access;
use crate::check::scope::instance_count;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Dialect;

pub(super) const RULE: Rule = Rule {
    id: "several-instances",
    level: Level::Tidegate,
    about: "outputs, metrics or artifacts of a job with several instances are read as if it had one",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    if facts.workflow.dialect == Dialect::Github {
        return Vec::new();
    }
    let mut found = Vec::new();
    facts.walk(|site, e, inside| {
        if site.job.is_none() {
            return;
        }
        let Some(access) = Access::of(e).filter(|a| a.is("needs") && a.segments.len() == 2) else {
            return;
        };
        let (Some(id), Some(part)) = (access.name(0), access.name(1)) else { return };
        let part = part.to_ascii_lowercase();
        if !matches!(part.as_str(), "outputs" | "metrics" | "artifacts") {
            return;
        }
        let Some(job) = facts.job(id).filter(|j| instance_count(j) != Some(1)) else { return };
        let text = format!("`{}` has several instances: whose {part} are meant?", job.id.value);
        let mut diagnostic = Diagnostic::error(RULE.id, facts.context.place(inside, e), text)
            .help(format!("all of them, as a list: `needs.{id}.instances[*].{part}`"))
            .help(format!("the best one: `best(needs.{id}, 'METRIC').{part}`"));
        if let Some(strategy) = &job.strategy {
            diagnostic = diagnostic.related(strategy.span, "its matrix");
        }
        found.push(diagnostic);
    });
    found
}
