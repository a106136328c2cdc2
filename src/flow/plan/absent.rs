//! Keys of the language that this version does not carry out: said exactly, never ignored.

use super::reads::Reads;
use super::spec;
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

/// Why the context `models` cannot be read.
pub(super) const NO_REGISTRY: &str = "the model registry is not there yet";

/// Where a job runs, for what is said of keys that have no effect there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// As processes of this machine.
    Here,
    /// In pods.
    Pods,
}

impl Where {
    /// Chooses between what is said here and what is said of pods.
    fn said(self, here: &'static str, pods: &'static str) -> &'static str {
        match self {
            Self::Here => here,
            Self::Pods => pods,
        }
    }
}

/// Lists what a job asks for and this version has not.
pub fn absent(workflow: &Workflow, job: &Job, place: Where) -> Vec<Absent> {
    let mut found = Vec::new();
    if let Some(nodes) = &job.ml.nodes
        && !matches!(nodes.value, Dynamic::Fixed(count) if (count - 1.0).abs() < f64::EPSILON)
    {
        found.push(Absent::blocking("nodes", "training on several nodes is not there yet; `nodes: 1` runs"));
    }
    if !job.services.is_empty() {
        found.push(Absent::blocking("services", "service containers are not there yet"));
    }
    if asks_registry(workflow, job) {
        found.push(Absent::blocking("models", NO_REGISTRY));
    }
    of_the_pod(workflow, job, place, &mut found);
    for given in job.ml.consumes.iter().filter(|given| given.shared) {
        found.push(Absent::harmless(
            &format!("consumes.{}.mount", given.path.value),
            "a shared tree is not there yet; the job gets a copy",
        ));
    }
    if let JobKind::Steps(steps) = &job.kind {
        for (step, index) in steps.iter().zip(0_usize..) {
            absent_step(step, index, place, &mut found);
        }
    }
    found
}

/// Adds keys that shape a pod, and what becomes of them.
fn of_the_pod(workflow: &Workflow, job: &Job, place: Where, found: &mut Vec<Absent>) {
    if job.ml.queue.is_some() {
        let words = place.said(
            "cluster queues are not there yet; it runs here at once",
            "cluster queues are not there yet; the job is not queued",
        );
        found.push(Absent::harmless("queue", words));
    }
    if job.ml.spot.as_ref().is_some_and(|spot| !is_false(spot)) {
        let words = place.said(
            "spot nodes are not there yet; it runs on this machine",
            "spot nodes are not there yet; it runs on any node",
        );
        found.push(Absent::harmless("spot", words));
    }
    if job.ml.pod_template.is_some()
        || job.defaults.pod_template.is_some()
        || workflow.defaults.pod_template.is_some()
    {
        let words = place.said(
            "pod templates are not there yet; there is no pod here",
            "pod templates are not there yet; the pod is the generated one",
        );
        found.push(Absent::harmless("pod-template", words));
    }
    if place == Where::Pods {
        return;
    }
    let inherited = job.defaults.container.is_some() || workflow.defaults.container.is_some();
    if job.container.is_some() || (inherited && job.ml.python.is_none()) {
        found.push(Absent::harmless("container", "containers are for clusters; the steps run as processes"));
    }
    if let Some(resources) = &job.ml.resources {
        for (key, given) in [("shm", &resources.shm), ("ephemeral-storage", &resources.ephemeral_storage)] {
            if given.is_some() {
                let words = "it counts in pods; here it limits nothing";
                found.push(Absent::harmless(&format!("resources.{key}"), words));
            }
        }
        if let Some(Tree { kind: TreeKind::Mapping(keys), .. }) = &resources.gpu {
            for (key, _) in keys.iter().filter(|(key, _)| &*key.value.raw != "count") {
                let words = "it counts in pods; here a job gets any GPU";
                found.push(Absent::harmless(&format!("resources.gpu.{}", key.value.raw), words));
            }
        }
    }
    if job.ml.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.every.is_some()) {
        let words = "it counts in pods; here what is in the folder is kept at every moment";
        found.push(Absent::harmless("checkpoint.every", words));
    }
}

/// Tells whether a job reads the context `models`.
fn asks_registry(workflow: &Workflow, job: &Job) -> bool {
    let mut reads = Reads::default();
    spec::read_into(workflow, job, &mut reads);
    reads.each([&job.name, &job.condition].into_iter().flatten());
    reads.each(job.ml.consumes.iter().map(|given| &given.from));
    if let Some(cache) = &job.ml.cache {
        reads.each(cache.inputs.iter().chain(&cache.key).chain(&cache.version));
    }
    reads.reaches("models")
}

/// Adds what a step asks for and this version has not.
fn absent_step(step: &Step, index: usize, place: Where, found: &mut Vec<Absent>) {
    let at = step.id.as_ref().map_or_else(|| format!("steps[{index}]"), |id| format!("steps.{}", id.value));
    if step.container.is_some() {
        let words = place.said(
            "a container for one step is not there yet; the step runs as a process",
            "a container for one step is not there yet; the step runs in the job's",
        );
        found.push(Absent::harmless(&format!("{at}.container"), words));
    }
    if step.resources.is_some() {
        let words = "resources of one step are not there yet; those of the job count";
        found.push(Absent::harmless(&format!("{at}.resources"), words));
    }
    match &step.action {
        Action::Notebook(_) => {
            found.push(Absent::blocking(format!("{at}.notebook"), "running notebooks is not there yet"));
        }
        Action::Register(_) => {
            found.push(Absent::blocking(format!("{at}.register"), NO_REGISTRY));
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
    let reasons: Vec<String> = absent(workflow, job, Where::Here)
        .into_iter()
        .filter(|part| part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Returns what people should know of keys without effect.
pub(super) fn notes(workflow: &Workflow, job: &Job, place: Where) -> Vec<String> {
    let parts = absent(workflow, job, place);
    parts
        .into_iter()
        .filter(|part| !part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect()
}
