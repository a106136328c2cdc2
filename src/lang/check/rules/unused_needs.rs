//! Entries of `needs` that change nothing: waited for through another job, and not read.

use crate::check::access::{Access, expressions};
use crate::check::{Facts, Level, Rule};
use crate::expr::ExprKind;
use crate::source::Diagnostic;
use crate::workflow::Job;
use std::collections::HashSet;

pub(super) const RULE: Rule = Rule {
    id: "unused-needs",
    level: Level::Warning,
    about: "a needed job is waited for through another one anyway, and its results are not read",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for job in facts.workflow.jobs.iter().filter(|j| j.needs.len() > 1) {
        let read = needs_read(facts, job);
        if read.contains("*") {
            continue;
        }
        for need in &job.needs {
            if read.contains(&need.value.to_ascii_lowercase()) {
                continue;
            }
            let through = job.needs.iter().find(|other| {
                !other.value.eq_ignore_ascii_case(&need.value) && reaches(facts, &other.value, &need.value)
            });
            if let Some(other) = through {
                let text = format!("`{}` already waits for `{}`", other.value, need.value);
                found.push(
                    Diagnostic::warning(RULE.id, need.span, text)
                        .label("not read here")
                        .help(format!("remove it from `needs` of `{}`", job.id.value)),
                );
            }
        }
    }
    found
}

/// Returns the needed jobs that a job reads in lower case; `*` stands for all of them, also where
/// the job asks for the status, which a needed job's own result can change.
fn needs_read(facts: &Facts<'_>, job: &Job) -> HashSet<String> {
    let mut read = HashSet::new();
    for site in facts.sites.iter().filter(|s| s.job.is_some_and(|j| std::ptr::eq(j, job))) {
        for (expr, _) in expressions(site.template) {
            let mut names = Vec::new();
            expr.walk(&mut |e| match &e.kind {
                ExprKind::Call(name, _) => {
                    if ["always", "failure", "cancelled", "success"]
                        .iter()
                        .any(|n| n.eq_ignore_ascii_case(name))
                    {
                        names.push((true, site.key.ends_with("<job_id>.if").then(|| "*".to_owned())));
                    }
                }
                _ => {
                    if let Some(access) = Access::of(e).filter(|a| a.is("needs")) {
                        names.push((access.segments.len() == 1, access.name(0).map(str::to_ascii_lowercase)));
                    }
                }
            });
            // `needs` alone is met inside every `needs.x` too: it means all only if nothing follows.
            let whole = names.iter().filter(|(_, n)| n.is_none()).count();
            let named = names.iter().filter(|(one, n)| *one && n.is_some()).count();
            if whole > named {
                read.insert("*".to_owned());
            }
            read.extend(names.into_iter().filter_map(|(_, n)| n));
        }
    }
    read
}

fn reaches(facts: &Facts<'_>, from: &str, to: &str) -> bool {
    let mut open = vec![from.to_ascii_lowercase()];
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        let Some(job) = facts.job(&id) else { continue };
        if !seen.insert(id) {
            continue;
        }
        for need in &job.needs {
            if need.value.eq_ignore_ascii_case(to) {
                return true;
            }
            open.push(need.value.to_ascii_lowercase());
        }
    }
    false
}
