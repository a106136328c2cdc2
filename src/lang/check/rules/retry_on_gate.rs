//! `retry.on` that names a gate's verdict.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Spanned};
use crate::workflow::Retry;

pub(super) const RULE: Rule = Rule {
    id: "retry-on-gate",
    level: Level::Tidegate,
    about: "`retry.on` names the verdict of a gate, which another try would only roll dice for",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let jobs = facts.workflow.jobs.iter().filter_map(|j| j.ml.retry.as_ref());
    let steps = facts.steps().filter_map(|(_, s)| s.retry.as_ref());
    jobs.chain(steps).flat_map(|r: &Retry| &r.on).filter_map(finding).collect()
}

fn finding(class: &Spanned<String>) -> Option<Diagnostic> {
    (class.value == "gate").then(|| {
        Diagnostic::error(RULE.id, class.span, "a gate's verdict is no failure to retry")
            .help("retry the job that trains, by `retry.on: [failure]` there")
    })
}
