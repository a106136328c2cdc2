//! Jobs that can never run: their own `if` is false, or a needed job never runs.

use crate::check::access::expressions;
use crate::check::cases::constant;
use crate::check::{Facts, Level, Rule};
use crate::expr::{ExprKind, Template};
use crate::source::Diagnostic;
use crate::workflow::Job;
use std::collections::HashSet;

pub(super) const RULE: Rule = Rule {
    id: "unreachable-job",
    level: Level::Warning,
    about: "a job can never run, because a job that it needs never does",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let never = |job: &Job| job.condition.as_ref().and_then(constant) == Some(false);
    let mut dead: HashSet<&str> =
        facts.workflow.jobs.iter().filter(|j| never(j)).map(|j| j.id.value.as_str()).collect();
    if dead.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    // Each round finds the jobs one edge further away; a round without news is the last.
    loop {
        let before = dead.len();
        for job in &facts.workflow.jobs {
            if dead.contains(job.id.value.as_str()) || job.condition.as_ref().is_some_and(asks_for_status) {
                continue;
            }
            let need = job.needs.iter().find(|n| dead.iter().any(|d| d.eq_ignore_ascii_case(&n.value)));
            if let Some(need) = need {
                dead.insert(&job.id.value);
                let text = format!("`{}` never runs, because `{}` never does", job.id.value, need.value);
                found.push(
                    Diagnostic::warning(RULE.id, need.span, text)
                        .help("`if: always()` would run it after a skipped job"),
                );
            }
        }
        if dead.len() == before {
            return found;
        }
    }
}

/// Tells whether a condition calls a status function, which takes away the implicit `success()`.
fn asks_for_status(condition: &Template) -> bool {
    let mut found = false;
    for (expr, _) in expressions(condition) {
        expr.walk(&mut |e| {
            if let ExprKind::Call(name, _) = &e.kind {
                let names = ["always", "failure", "cancelled", "success"];
                found |= names.iter().any(|n| n.eq_ignore_ascii_case(name));
            }
        });
    }
    found
}
