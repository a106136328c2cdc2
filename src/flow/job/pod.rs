//! What a job asks of a cluster beyond its resources: evaluated keys, and which containers its steps
//! run in. Where jobs are processes of one machine all of it is empty.

use super::{EnvLayer, JobSpec, ResourceRequest};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a job asks of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodRequest {
    /// `pod-template`: its path in the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// `nodes`: pods that work together; 0 and 1: one pod like any other.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nodes: u32,
    /// `queue`: a Kueue queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// `queue.priority`: a `WorkloadPriorityClass`.
    #[serde(default, rename = "queue-priority", skip_serializing_if = "Option::is_none")]
    pub queue_priority: Option<String>,
    /// `spot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Spot>,
    /// `services`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceSpec>,
    /// Steps that have an image or resources of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepPlace>,
    /// `credentials` of the job's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What else the job's container says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
}

/// What a `container:` says besides its image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// `env`, unevaluated: it may read `secrets`. The agent gives it to the steps.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub env: EnvLayer,
    /// `volumes`, as `docker create --volume` takes them; in a pod those that have a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// `options` of `docker create`, as words; empty in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl PodRequest {
    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which nodes a spot job takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spot {
    /// `true`: only spot nodes.
    Only,
    /// `{fallback: on-demand}`: spot nodes where there are some, else any.
    Preferred,
}

/// A service container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// The name that steps reach it by.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `env`; values that read `secrets` stay templates and are filled in by the executor.
    pub env: Vec<(String, String)>,
    /// Names of those entries of `env` that are templates still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
    /// Ports that it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// `volumes` as written; in a pod without folders of the machine. They outlive its restarts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What tells whether it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Its user; `None`: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Instead of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Instead of the image's command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// `credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Other `options` of `docker create`, as words; empty in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Docker's health check of a service (`docker create`, `--health-*`), with Docker's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// A line for `/bin/sh -c` in the service's container.
    pub command: String,
    /// Seconds from look to look.
    pub interval_seconds: f64,
    /// Seconds that one may take.
    pub timeout_seconds: f64,
    /// So many in a row may fail.
    pub retries: u32,
    /// Seconds in which none counts.
    pub start_seconds: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            command: String::new(),
            interval_seconds: 30.0,
            timeout_seconds: 30.0,
            retries: 3,
            start_seconds: 0.0,
        }
    }
}

/// Who may pull an image: templates, which may read `secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// `username`.
    pub username: String,
    /// `password`.
    pub password: String,
}

/// A step with a container of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPlace {
    /// Index of the step, from 0.
    pub step: u32,
    /// Its image; `None`: the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `resources` of the step; `None`: the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequest>,
    /// What else its container says; counts where `image` is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// `credentials` of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A container that runs some of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct StepContainer {
    /// Its name in the pod: `steps` for the last one, `steps-1`, `steps-2` … for those before.
    pub name: String,
    /// Its image; `None`: the one of jobs that name none.
    pub image: Option<String>,
    /// Its steps, by index.
    pub steps: Range<u32>,
    /// What it asks for.
    pub resources: ResourceRequest,
    /// The step whose own `resources` ask for its memory; `None`: the job's do.
    pub asked_by: Option<u32>,
    /// What else its `container:` says.
    pub container: Option<ContainerSpec>,
}

/// Returns the containers of a job's steps in order: neighbours that share an image, and what else a
/// `container:` says, share one. What the agent does between them parts none, and where nothing else comes before or
/// after, it counts to the container that is there then. There is always one.
pub fn step_containers(spec: &JobSpec) -> Vec<StepContainer> {
    let own = |step: u32| spec.pod.steps.iter().find(|place| place.step == step);
    let mut made: Vec<StepContainer> = Vec::new();
    let mut beside = 0;
    for (step, done) in (0_u32..).zip(&spec.steps) {
        if done.action.needs_no_container() {
            match made.last_mut() {
                Some(last) => last.steps.end = step + 1,
                None => beside = step + 1,
            }
            continue;
        }
        let place = own(step);
        let (image, container) = match place {
            Some(StepPlace { image: Some(image), container, .. }) => (Some(image.clone()), container.clone()),
            _ => (spec.image.clone(), spec.pod.container.clone()),
        };
        let own = place.and_then(|p| p.resources.as_ref());
        let (asked, asked_by) = (own.unwrap_or(&spec.resources), own.map(|_| step));
        match made.last_mut() {
            Some(last) if last.image == image && last.container == container => {
                last.steps.end = step + 1;
                if asked.memory_bytes > last.resources.memory_bytes {
                    last.asked_by = asked_by;
                }
                last.resources = most(&last.resources, asked);
            }
            _ => made.push(StepContainer {
                name: String::new(),
                image,
                steps: if made.is_empty() { 0..step + 1 } else { step..step + 1 },
                resources: asked.clone(),
                asked_by,
                container,
            }),
        }
    }
    if made.is_empty() {
        let (image, resources) = (spec.image.clone(), spec.resources.clone());
        let container = spec.pod.container.clone();
        made.push(StepContainer {
            name: String::new(),
            image,
            steps: 0..beside,
            resources,
            asked_by: None,
            container,
        });
    }
    let last = made.len() - 1;
    for (index, container) in made.iter_mut().enumerate() {
        container.name = if index == last { "steps".to_owned() } else { format!("steps-{}", index + 1) };
    }
    made
}

/// The larger of each amount.
fn most(a: &ResourceRequest, b: &ResourceRequest) -> ResourceRequest {
    let gpus = if b.gpus > a.gpus { b } else { a };
    ResourceRequest {
        cpu_millis: a.cpu_millis.max(b.cpu_millis),
        memory_bytes: a.memory_bytes.max(b.memory_bytes),
        storage_bytes: a.storage_bytes.max(b.storage_bytes),
        shm_bytes: a.shm_bytes.max(b.shm_bytes),
        gpus: gpus.gpus,
        gpu: gpus.gpu.clone(),
    }
}

/// For `serde`: what is as usual is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The same.
fn is_nothing(env: &EnvLayer) -> bool {
    *env == EnvLayer::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{ActionSpec, GateSpec, StepSpec};

    fn spec(images: &[Option<&str>]) -> JobSpec {
        let places = (0_u32..).zip(images).filter_map(|(step, image)| {
            image.map(|image| StepPlace { step, image: Some(image.to_owned()), ..StepPlace::default() })
        });
        JobSpec {
            image: Some("job".into()),
            steps: vec![StepSpec::default(); images.len()],
            pod: PodRequest { steps: places.collect(), ..PodRequest::default() },
            ..JobSpec::default()
        }
    }

    fn shape(spec: &JobSpec) -> Vec<String> {
        let show =
            |c: &StepContainer| format!("{} {} {:?}", c.name, c.image.as_deref().unwrap_or("-"), c.steps);
        step_containers(spec).iter().map(show).collect()
    }

    #[test]
    fn neighbours_that_share_an_image_share_a_container() {
        assert_eq!(shape(&spec(&[])), ["steps job 0..0"]);
        assert_eq!(shape(&spec(&[None, None])), ["steps job 0..2"]);
        assert_eq!(shape(&spec(&[None, Some("job")])), ["steps job 0..2"]);
        assert_eq!(
            shape(&spec(&[None, Some("a"), Some("a"), None])),
            ["steps-1 job 0..1", "steps-2 a 1..3", "steps job 3..4"]
        );
    }

    #[test]
    fn what_the_agent_does_parts_no_container_and_needs_none() {
        let uses = |uses: &str| ActionSpec::Uses { uses: uses.into(), with: Vec::new() };
        let gate = || ActionSpec::Gate(GateSpec::default());
        let with = |images: &[Option<&str>], actions: Vec<(usize, ActionSpec)>| {
            let mut made = spec(images);
            for (step, action) in actions {
                made.steps[step].action = action;
            }
            made
        };
        let (a, b) = (Some("a"), Some("b"));
        let table = [
            (with(&[a, None, a], vec![(1, gate())]), vec!["steps a 0..3"]),
            (
                with(&[a, None, b, None], vec![(1, gate()), (3, gate())]),
                vec!["steps-1 a 0..2", "steps b 2..4"],
            ),
            (
                with(&[None, None, b], vec![(0, uses("actions/checkout@v4")), (1, gate())]),
                vec!["steps b 0..3"],
            ),
            // A local action runs its steps where the job does.
            (
                with(&[a, None, a], vec![(1, uses("./act"))]),
                vec!["steps-1 a 0..1", "steps-2 job 1..2", "steps a 2..3"],
            ),
            // An image that such a step names is nobody's.
            (with(&[None, b], vec![(1, gate())]), vec!["steps job 0..2"]),
            (with(&[None, None], vec![(0, gate()), (1, gate())]), vec!["steps job 0..2"]),
        ];
        for (spec, wanted) in table {
            assert_eq!(shape(&spec), wanted);
        }
    }

    #[test]
    fn a_container_asks_for_the_most_of_its_steps() {
        let mut made = spec(&[None, None]);
        made.resources.memory_bytes = 5;
        let own = ResourceRequest { cpu_millis: 7, ..ResourceRequest::default() };
        made.pod.steps = vec![StepPlace { step: 1, resources: Some(own), ..StepPlace::default() }];
        let container = step_containers(&made).remove(0);
        assert_eq!((container.resources.cpu_millis, container.resources.memory_bytes), (7, 5));
    }
}
