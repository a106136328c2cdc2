//! Keys of the language that this version does not carry out: said exactly, never ignored.

use serde::{Deserialize, Serialize};
use tidegate_lang::workflow::{Action, Dynamic, Job, JobKind, Step, Tree, TreeKind, Workflow};

/// A part that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// The key, such as `nodes` or `steps[2].register`.
    pub key: String,
    /// What does not happen, in words.
    pub words: String,
    /// Whether the job cannot run without it; otherwise it runs and the key has no effect.
    pub blocking: bool,
}

impl Absent {
    fn blocking(key: impl Into<String>, words: &str) -> Self {
        Self { key: key.into(), words: words.to_owned(), blocking: true }
    }

    fn harmless(key: &str, words: &str) -> Self {
        Self { key: key.to_owned(), words: words.to_owned(), blocking: false }
    }
}

/// Lists what a job asks for and this version has not.
pub fn absent(workflow: &Workflow, job: &Job) -> Vec<Absent> {
    let mut found = Vec::new();
    if let Some(nodes) = &job.ml.nodes
        && !matches!(nodes.value, Dynamic::Fixed(count) if (count - 1.0).abs() < f64::EPSILON)
    {
        found.push(Absent::blocking("nodes", "training on several nodes is not there yet; `nodes: 1` runs"));
    }
    if !job.services.is_empty() {
        found.push(Absent::blocking("services", "service containers are not there yet"));
    }
    if job.ml.queue.is_some() {
        found.push(Absent::harmless("queue", "cluster queues are not there yet; it runs here at once"));
    }
    if job.ml.spot.as_ref().is_some_and(|spot| !is_false(spot)) {
        found.push(Absent::harmless("spot", "spot nodes are not there yet; it runs on this machine"));
    }
    if job.ml.pod_template.is_some()
        || job.defaults.pod_template.is_some()
        || workflow.defaults.pod_template.is_some()
    {
        found.push(Absent::harmless(
            "pod-template",
            "pods are not there yet; the template has no effect here",
        ));
    }
    if let JobKind::Steps(steps) = &job.kind {
        for (step, index) in steps.iter().zip(0_usize..) {
            absent_step(step, index, &mut found);
        }
    }
    found
}

/// Adds what a step asks for and this version has not.
fn absent_step(step: &Step, index: usize, found: &mut Vec<Absent>) {
    let at = step.id.as_ref().map_or_else(|| format!("steps[{index}]"), |id| format!("steps.{}", id.value));
    if step.container.is_some() {
        found.push(Absent::harmless(
            &format!("{at}.container"),
            "a container for one step is not there yet; the step runs as a process",
        ));
    }
    match &step.action {
        Action::Notebook(_) => {
            found.push(Absent::blocking(format!("{at}.notebook"), "running notebooks is not there yet"));
        }
        Action::Register(_) => {
            found.push(Absent::blocking(format!("{at}.register"), "the model registry is not there yet"));
        }
        Action::Coordinate(key) => {
            let what = format!("{at}.{}", key.value);
            found.push(Absent::blocking(what, "steps that run beside others are not there yet"));
        }
        Action::Uses(uses) if uses.with_expression.is_some() => {
            let words = "inputs given by one expression are not there yet; write them one by one";
            found.push(Absent::blocking(format!("{at}.with"), words));
        }
        Action::Deploy(_) => {
            found.push(Absent::blocking(format!("{at}.deploy"), "deployment is not there yet"));
        }
        Action::Validate(validate) if validate.drift.is_some() => {
            found.push(Absent::blocking(
                format!("{at}.validate.drift"),
                "drift against a reference is not there yet",
            ));
        }
        Action::Gate(gate) => {
            let baseline = gate.baseline.as_ref().filter(|baseline| baseline.is_literal());
            if baseline.is_some_and(|baseline| is_registered(&baseline.raw)) {
                found.push(Absent::blocking(
                    format!("{at}.gate.baseline"),
                    "baselines from a model registry are not there yet; use `branch:NAME` or a file",
                ));
            }
        }
        _ => {}
    }
}

/// Tells whether a baseline is `MODEL@ALIAS`.
fn is_registered(baseline: &str) -> bool {
    !baseline.starts_with("branch:") && baseline.contains('@') && !is_json_file(baseline)
}

fn is_json_file(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("json"))
}

fn is_false(tree: &Tree) -> bool {
    matches!(&tree.kind, TreeKind::Literal(value) if !value.truthy())
}

/// Lists what the whole workflow asks for and this version has not.
pub fn absent_triggers(workflow: &Workflow) -> Vec<Absent> {
    let mut found = Vec::new();
    if !workflow.on.data.is_empty() {
        found.push(Absent::harmless(
            "on.data",
            "waiting for data is not there yet; start it by hand or by an event",
        ));
    }
    if !workflow.on.model.is_empty() {
        found.push(Absent::harmless(
            "on.model",
            "waiting for a model is not there yet; start it by hand or by an event",
        ));
    }
    found
}

/// Returns why the job cannot run at all, if so.
pub(super) fn blocking(workflow: &Workflow, job: &Job) -> Option<String> {
    let reasons: Vec<String> = absent(workflow, job)
        .into_iter()
        .filter(|part| part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Returns what people should know of keys without effect.
pub(super) fn notes(workflow: &Workflow, job: &Job) -> Vec<String> {
    let parts = absent(workflow, job);
    parts
        .into_iter()
        .filter(|part| !part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect()
}
