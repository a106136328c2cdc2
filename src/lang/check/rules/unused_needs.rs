//! Entries of `needs` that change nothing: waited for through another job, and not read.

use crate::check::access::{Access, expressions};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Job;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

pub(super) const RULE: Rule = Rule {
    id: "unused-needs",
    level: Level::Warning,
    about: "a needed job is waited for through another one anyway, and its results are not read",
    check,
};

/// How many edges are followed in one file: enough for any real one, and a bound on the time that a
/// file of ten thousand jobs takes.
const BUDGET: usize = 2_000_000;

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let jobs = &facts.workflow.jobs;
    if jobs.iter().all(|j| j.needs.len() < 2) {
        return Vec::new();
    }
    let index: HashMap<String, usize> =
        jobs.iter().enumerate().map(|(i, j)| (j.id.value.to_ascii_lowercase(), i)).collect();
    let needs = |job: &Job| -> Vec<usize> {
        job.needs.iter().filter_map(|n| index.get(&n.value.to_ascii_lowercase()).copied()).collect()
    };
    let graph: Vec<Vec<usize>> = jobs.iter().map(needs).collect();
    let read = read_by_job(facts);
    let nothing = HashSet::new();
    let mut found = Vec::new();
    let mut budget = BUDGET;
    for job in jobs.iter().filter(|j| j.needs.len() > 1) {
        let read = read.get(&std::ptr::from_ref(job)).unwrap_or(&nothing);
        if read.contains("*") {
            continue;
        }
        let waited_for = behind(&graph, &needs(job), &mut budget);
        for need in job.needs.iter().filter(|n| !read.contains(&n.value.to_ascii_lowercase())) {
            let target = index.get(&need.value.to_ascii_lowercase());
            let through = target.and_then(|t| waited_for.get(t)).and_then(|other| jobs.get(*other));
            if let Some(other) = through {
                let text = format!("`{}` already waits for `{}`", other.id.value, need.value);
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

/// Returns all jobs that the given ones wait for, each with one of the given through which it is
/// waited for.
fn behind(graph: &[Vec<usize>], starts: &[usize], budget: &mut usize) -> HashMap<usize, usize> {
    let mut found = HashMap::new();
    let mut open: Vec<(usize, usize)> = starts.iter().map(|s| (*s, *s)).collect();
    while let Some((job, start)) = open.pop() {
        for next in graph.get(job).into_iter().flatten() {
            if *budget == 0 {
                return found;
            }
            *budget -= 1;
            if let Entry::Vacant(free) = found.entry(*next) {
                free.insert(start);
                open.push((*next, start));
            }
        }
    }
    found
}

/// Returns the needed jobs that each job reads, in lower case; `*` stands for all of them, also
/// where the job asks for the status, which a needed job's own result can change.
fn read_by_job(facts: &Facts<'_>) -> HashMap<*const Job, HashSet<String>> {
    let mut read: HashMap<*const Job, HashSet<String>> = HashMap::new();
    for site in &facts.sites {
        let Some(job) = site.job else { continue };
        for (expr, _) in expressions(site.template) {
            if site.key == "jobs.<job_id>.if" && expr.has_status_function() {
                read.entry(job).or_default().insert("*".to_owned());
            }
            let (mut whole, mut single) = (0, 0);
            expr.walk(&mut |e| {
                let Some(access) = Access::of(e).filter(|a| a.is("needs")) else { return };
                // `needs` alone is met inside every `needs.x` too: it means all where nothing follows.
                whole += usize::from(access.segments.is_empty());
                single += usize::from(access.segments.len() == 1);
                let name = access.name(0).map_or_else(|| "*".to_owned(), str::to_ascii_lowercase);
                if !access.segments.is_empty() {
                    read.entry(job).or_default().insert(name);
                }
            });
            if whole > single {
                read.entry(job).or_default().insert("*".to_owned());
            }
        }
    }
    read
}
