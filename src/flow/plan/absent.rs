//! Keys of the language that are not carried out, by this version or where the jobs run: said exactly,
//! never ignored.

use super::in_images::in_images;
use super::reads::Reads;
use super::service::{ours, split};
use super::{spec, volumes};
use crate::job::is_host_label;
use serde::{Deserialize, Serialize};
use tidegate_lang::source::{Diagnostic, Span};
use tidegate_lang::workflow::{
    Action, ActionFile, Container, Dynamic, Job, JobKind, Step, Tree, TreeKind, Workflow,
};

/// Where jobs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// As processes of one machine.
    #[default]
    Machine,
    /// In containers of one machine.
    Containers,
    /// As pods of a cluster.
    Pods,
}

/// A part that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// The key, such as `nodes` or `steps[2].register`.
    pub key: String,
    /// What does not happen, in words.
    pub words: String,
    /// Whether the job cannot run without it; otherwise it runs and the key has no effect.
    pub blocking: bool,
    /// Whether it is only this place that cannot do it: another one can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
    /// Where the file says it, if that is not the job.
    #[serde(skip)]
    pub at: Option<Span>,
}

impl Absent {
    pub(super) fn blocking(key: impl Into<String>, words: &str) -> Self {
        Self { key: key.into(), words: words.to_owned(), blocking: true, here: false, at: None }
    }

    pub(super) fn at(self, span: Span) -> Self {
        Self { at: Some(span), ..self }
    }

    /// The finding of it, at its own place, else at `place`.
    pub fn finding(self, place: Span) -> Diagnostic {
        let words = format!("`{}`: {}", self.key, self.words);
        let new = if self.blocking { Diagnostic::error } else { Diagnostic::warning };
        new("back-end", self.at.unwrap_or(place), words)
    }

    fn here(self) -> Self {
        Self { here: true, ..self }
    }

    pub(super) fn harmless(key: &str, words: &str) -> Self {
        Self { key: key.to_owned(), words: words.to_owned(), blocking: false, here: false, at: None }
    }
}

/// Why the context `models` cannot be read.
pub(super) const NO_REGISTRY: &str = "the model registry is not there yet";

/// Lists what a job asks for and this version, or this place, has not.
pub fn absent(workflow: &Workflow, job: &Job, place: Place) -> Vec<Absent> {
    let mut found: Vec<Absent> = match place {
        Place::Machine => elsewhere(workflow, job).into_iter().map(Absent::here).collect(),
        Place::Containers => in_containers(workflow, job).into_iter().map(Absent::here).collect(),
        Place::Pods => in_pods(workflow, job).into_iter().map(Absent::here).collect(),
    };
    if place != Place::Machine {
        found.extend(super::unshared::unshared(job, name).into_iter().map(Absent::here));
    }
    if asks_registry(workflow, job) {
        found.push(Absent::blocking("models", NO_REGISTRY));
    }
    if let Some(span) = job.snapshot {
        found.push(
            Absent::harmless("snapshot", "it has no effect: it makes images of GitHub's own runners")
                .at(span),
        );
    }
    if let Some(given) = &job.cancel_timeout_minutes {
        let words =
            "it has no effect; `checkpoint.grace` says how long steps have between SIGTERM and SIGKILL";
        found.push(Absent::harmless("cancel-timeout-minutes", words).at(given.span));
    }
    for given in job.ml.consumes.iter().filter(|given| given.shared) {
        found.push(
            Absent::harmless(
                &format!("consumes.{}.mount", given.path.value),
                "a shared tree is not there yet; the job gets a copy",
            )
            .at(given.path.span),
        );
    }
    if let JobKind::Steps(steps) = &job.kind {
        for (step, index) in steps.iter().zip(0_usize..) {
            if place == Place::Machine {
                found.extend(elsewhere_step(step, index));
            }
            absent_step(step, index, &mut found);
        }
    }
    found
}

/// Lists what the steps of a local action ask for and this version has not.
pub fn absent_action(action: &ActionFile) -> Vec<Absent> {
    let mut found = Vec::new();
    action.steps.iter().zip(0_usize..).for_each(|(step, index)| absent_step(step, index, &mut found));
    found
}

/// Lists what processes of this machine cannot do.
fn elsewhere(workflow: &Workflow, job: &Job) -> Vec<Absent> {
    let mut found = Vec::new();
    if !job.services.is_empty() {
        let words = "service containers need `--on container` or `--on kubernetes`";
        found.push(Absent::blocking("services", words));
    }
    let inherited = job.defaults.container.is_some() || workflow.defaults.container.is_some();
    if job.container.is_some() || (inherited && job.ml.python.is_none()) {
        let words = "the steps run as processes; `--on container` and `--on kubernetes` use it";
        found.push(Absent::harmless("container", words));
    }
    if job.ml.resources.as_ref().is_some_and(|resources| resources.shm.is_some()) {
        let words = "it counts in containers and pods; here it limits nothing";
        found.push(Absent::harmless("resources.shm", words));
    }
    found.append(&mut one_machine(workflow, job));
    found
}

/// Lists what containers of this machine cannot do.
fn in_containers(workflow: &Workflow, job: &Job) -> Vec<Absent> {
    let mut found = one_machine(workflow, job);
    found.append(&mut in_images(workflow, job, Place::Containers));
    for (key, container) in containers(workflow, job) {
        if !container.ports.is_empty() {
            let words = "no port is mapped to this machine; the containers of a job share one network";
            found.push(Absent::harmless(&format!("{key}.ports"), words));
        }
        if let Some(options) = container.options.as_ref().filter(|options| options.is_literal())
            && let (refused, _) = ours(split(&options.raw))
            && !refused.is_empty()
        {
            let words = format!("{} has no effect", refused.join(" "));
            found.push(Absent::harmless(&format!("{key}.options"), &words));
        }
    }
    found
}

/// Lists what of a job there is not in a pod.
fn in_pods(workflow: &Workflow, job: &Job) -> Vec<Absent> {
    let mut found = Vec::new();
    let claims = job.ml.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.volume.is_some());
    if claims && job.ml.nodes.is_some() {
        let words = "a claim is that of one pod; with `nodes`, leave `volume` out: node 0's folder is saved";
        found.push(Absent::blocking("checkpoint.volume", words));
    }
    found.append(&mut in_images(workflow, job, Place::Pods));
    for (name, _) in job.services.iter().filter(|(name, _)| !is_host_label(&name.value)) {
        let words = "steps could not reach it: a pod's hosts have at most 63 lower-case letters, digits and `-`; \
                     give it such a name";
        found.push(Absent::blocking(format!("services.{}", name.value), words).at(name.span));
    }
    let shm = volumes::asks_for_memory(job);
    for (key, container) in containers(workflow, job) {
        let (volumes, plain) = volumes::written(&key, container, shm);
        found.extend(volumes);
        let parts = [
            ("options", container.options.is_some()),
            ("volumes", plain),
            ("ports", !container.ports.is_empty()),
        ];
        for (part, _) in parts.into_iter().filter(|(_, there)| *there) {
            let words = "it has no effect in a pod; `pod-template` may say the same";
            found.push(Absent::harmless(&format!("{key}.{part}"), words));
        }
    }
    found
}

/// The containers of a job and of its steps, with their keys.
fn containers<'a>(workflow: &'a Workflow, job: &'a Job) -> Vec<(String, &'a Container)> {
    let own = super::pod::container(workflow, job).map(|container| ("container".to_owned(), container));
    let JobKind::Steps(steps) = &job.kind else { return own.into_iter().collect() };
    let of_step = |(step, index): (&'a Step, usize)| {
        Some((format!("{}.container", name(step, index)), step.container.as_deref()?))
    };
    own.into_iter().chain(steps.iter().zip(0_usize..).filter_map(of_step)).collect()
}

/// Lists what only a cluster does.
fn one_machine(workflow: &Workflow, job: &Job) -> Vec<Absent> {
    let mut found = Vec::new();
    if let Some(nodes) = &job.ml.nodes
        && !matches!(nodes.value, Dynamic::Fixed(count) if (count - 1.0).abs() < f64::EPSILON)
    {
        let words = "training on several nodes needs `--on kubernetes`; `nodes: 1` runs here";
        found.push(Absent::blocking("nodes", words));
    }
    if job.ml.queue.is_some() {
        found.push(Absent::harmless("queue", "queues are those of a cluster; it runs here at once"));
    }
    if job.ml.spot.as_ref().is_some_and(|spot| !is_false(spot)) {
        found.push(Absent::harmless("spot", "spot nodes are those of a cluster; it runs on this machine"));
    }
    if job.ml.pod_template.is_some()
        || job.defaults.pod_template.is_some()
        || workflow.defaults.pod_template.is_some()
    {
        found.push(Absent::harmless("pod-template", "templates are for pods; it has no effect here"));
    }
    if let Some(resources) = &job.ml.resources {
        if resources.ephemeral_storage.is_some() {
            let words = "it counts in pods; here it limits nothing";
            found.push(Absent::harmless("resources.ephemeral-storage", words));
        }
        if let Some(Tree { kind: TreeKind::Mapping(keys), .. }) = &resources.gpu {
            for (key, _) in keys.iter().filter(|(key, _)| &*key.value.raw != "count") {
                let words = "it counts in pods; here a job gets any GPU";
                found.push(Absent::harmless(&format!("resources.gpu.{}", key.value.raw), words));
            }
        }
    }
    if job.ml.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.volume.is_some()) {
        let words = "claims are those of a cluster; here the folder is kept in the store";
        found.push(Absent::harmless("checkpoint.volume", words));
    }
    if job.ml.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.every.is_some()) {
        let words = "it counts in pods; here what is in the folder is kept at every moment";
        found.push(Absent::harmless("checkpoint.every", words));
    }
    found
}

/// Lists what processes of this machine cannot do with a step.
fn elsewhere_step(step: &Step, index: usize) -> Vec<Absent> {
    let at = name(step, index);
    let mut found = Vec::new();
    if step.container.is_some() {
        let words = "the step runs as a process; `--on container` and `--on kubernetes` use it";
        found.push(Absent::harmless(&format!("{at}.container"), words).here());
    }
    if step.resources.is_some() {
        let words = "resources of one step count in containers and pods; here those of the job do";
        found.push(Absent::harmless(&format!("{at}.resources"), words).here());
    }
    found
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

pub(super) fn name(step: &Step, index: usize) -> String {
    step.id.as_ref().map_or_else(|| format!("steps[{index}]"), |id| format!("steps.{}", id.value))
}

/// Why no step runs beside others.
pub(super) const NOT_BESIDE: &str = "steps that run beside others are not there yet";

/// Adds what a step asks for and this version has not, at the step.
fn absent_step(step: &Step, index: usize, into: &mut Vec<Absent>) {
    let (at, mut found) = (name(step, index), Vec::new());
    if step.background {
        found.push(Absent::blocking(format!("{at}.background"), NOT_BESIDE));
    }
    match &step.action {
        Action::Notebook(_) => {
            found.push(Absent::blocking(format!("{at}.notebook"), "running notebooks is not there yet"));
        }
        Action::Register(_) => {
            found.push(Absent::blocking(format!("{at}.register"), NO_REGISTRY));
        }
        Action::Coordinate(key) => {
            found.push(Absent::blocking(format!("{at}.{}", key.value), NOT_BESIDE));
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
    into.extend(found.into_iter().map(|part| part.at(step.span)));
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
    if let Some(first) = workflow.on.data.first() {
        let words = "waiting for data is not there yet; start it by hand or by an event";
        found.push(Absent::harmless("on.data", words).at(first.source.span));
    }
    if let Some(first) = workflow.on.model.first() {
        let words = "waiting for a model is not there yet; start it by hand or by an event";
        found.push(Absent::harmless("on.model", words).at(first.span));
    }
    found
}

/// Returns why the job cannot run at all, if so.
pub(super) fn blocking(workflow: &Workflow, job: &Job, place: Place) -> Option<String> {
    let reasons: Vec<String> = absent(workflow, job, place)
        .into_iter()
        .filter(|part| part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Returns what people should know of keys without effect.
pub(super) fn notes(workflow: &Workflow, job: &Job, place: Place) -> Vec<String> {
    let parts = absent(workflow, job, place);
    parts
        .into_iter()
        .filter(|part| !part.blocking)
        .map(|part| format!("`{}`: {}", part.key, part.words))
        .collect()
}
