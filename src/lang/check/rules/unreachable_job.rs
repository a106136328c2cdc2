//! Jobs that can never run: their own `if` is false, or a needed job never runs.

use crate::check::cases::constant;
use crate::check::{Facts, Level, Rule};
use crate::expr::Template;
use crate::source::{Diagnostic, Span};
use crate::workflow::Job;
use std::collections::{HashMap, HashSet};

pub(super) const RULE: Rule = Rule {
    id: "unreachable-job",
    level: Level::Warning,
    about: "a job can never run, because a job that it needs never does",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let jobs = &facts.workflow.jobs;
    let never = |job: &Job| job.condition.as_ref().and_then(constant) == Some(false);
    let mut open: Vec<&Job> = jobs.iter().filter(|j| never(j)).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let mut waiting: HashMap<String, Vec<(&Job, Span)>> = HashMap::new();
    for job in jobs {
        if job.condition.as_ref().is_some_and(Template::has_status_function) {
            continue;
        }
        for need in &job.needs {
            waiting.entry(need.value.to_ascii_lowercase()).or_default().push((job, need.span));
        }
    }
    let mut dead: HashSet<&str> = open.iter().map(|j| j.id.value.as_str()).collect();
    let mut found = Vec::new();
    while let Some(job) = open.pop() {
        for (next, span) in waiting.get(&job.id.value.to_ascii_lowercase()).into_iter().flatten() {
            if dead.insert(&next.id.value) {
                open.push(next);
                let text = format!("`{}` never runs, because `{}` never does", next.id.value, job.id.value);
                found.push(
                    Diagnostic::warning(RULE.id, *span, text)
                        .help("`if: always()` would run it after a skipped job"),
                );
            }
        }
    }
    found
}
