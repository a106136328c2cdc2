//! The graph of a plan: what mermaid, dot and the picture draw.

use super::words;
use crate::app::report::{cut, one_line};
use std::collections::HashMap;
use tidegate_flow::plan::{Fate, Plan, PlannedJob};
use tidegate_flow::trigger::Decision;

/// Instances that are named in a node; the rest is counted.
const NAMED: usize = 6;

/// Columns of a title; a line below it may have twice as many.
const LABEL: usize = 120;

/// Columns of an instance's values.
const VALUES: usize = 44;

/// Jobs and what needs what.
pub(super) struct Graph {
    /// Over the picture.
    pub(super) title: String,
    pub(super) nodes: Vec<Node>,
    /// From the needed to the needing, by place in `nodes`.
    pub(super) edges: Vec<(usize, usize)>,
}

/// One job, its instances folded.
pub(super) struct Node {
    pub(super) title: String,
    /// What becomes of it: `runs`, `from cache` …
    pub(super) fate: &'static str,
    pub(super) kind: Kind,
    /// Gates, instances.
    pub(super) lines: Vec<String>,
    pub(super) folded: bool,
}

/// How a node is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Runs,
    Cached,
    Skipped,
    Depends,
    Fails,
}

/// Makes the graph of a plan.
pub(super) fn graph(plan: &Plan) -> Graph {
    // Without a `name` the file's own name says enough over a picture.
    let file = plan.workflow.rsplit('/').next().unwrap_or(&plan.workflow);
    let name = if plan.name == plan.workflow { file } else { &plan.name };
    let title = match &plan.decision {
        Decision::Start(start) if start.reasons.iter().any(|why| why == "started by hand") => {
            format!("{name}, started by hand")
        }
        Decision::Start(_) => format!("{name} on {}", plan.event),
        Decision::NoStart(no) => format!("{name} does not start: {}", no.words),
        Decision::Refused { problems } => format!("{name} is refused: {}", problems.join("; ")),
    };
    let places: HashMap<&str, usize> =
        plan.jobs.iter().enumerate().map(|(at, job)| (job.id.as_str(), at)).collect();
    let mut edges = Vec::new();
    for (at, job) in plan.jobs.iter().enumerate() {
        edges.extend(job.needs.iter().filter_map(|need| places.get(need.as_str())).map(|from| (*from, at)));
    }
    Graph { title: one_line(&title, LABEL), nodes: plan.jobs.iter().map(node).collect(), edges }
}

fn node(job: &PlannedJob) -> Node {
    let mut lines: Vec<String> = Vec::new();
    if let Fate::Skipped { reason } | Fate::Fails { reason } = &job.fate {
        lines.push(reason.clone());
    }
    if let Fate::Depends { on } = &job.fate {
        lines.push(format!("decided by {on}"));
    }
    lines.extend(words::gates(job));
    if let Some(path) = &job.calls {
        lines.push(format!("calls {path}"));
    }
    let folded = job.instances.len() > 1;
    if folded {
        let named = job.instances.iter().take(NAMED);
        lines.extend(named.map(|one| values(&one.display, &job.display)));
        if job.instances.len() > NAMED {
            lines.push(format!(
                "and {} more",
                crate::app::report::count((job.instances.len() - NAMED) as u64)
            ));
        }
    }
    Node {
        title: one_line(&words::title(job), LABEL),
        fate: words::fate(job),
        kind: match job.fate {
            Fate::Runs => Kind::Runs,
            Fate::Cached { .. } => Kind::Cached,
            Fate::Skipped { .. } => Kind::Skipped,
            Fate::Depends { .. } => Kind::Depends,
            Fate::Fails { .. } => Kind::Fails,
        },
        lines: lines.iter().map(|line| one_line(line, LABEL * 2)).collect(),
        folded,
    }
}

/// The part of an instance's name that its job's does not say: `svm, 0.1` of `train (svm, 0.1)`.
fn values(instance: &str, job: &str) -> String {
    let rest = instance.strip_prefix(job).map(str::trim);
    let inner = rest.and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.strip_suffix(')'));
    cut(inner.unwrap_or(instance), VALUES)
}
