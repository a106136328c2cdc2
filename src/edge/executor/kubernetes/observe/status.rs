//! Reads a pod's status: its containers in the order in which they start, and whose they are.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

/// Name of the container that runs the last steps; those before it are `steps-1`, `steps-2` …
const STEPS: &str = "steps";
/// Name of the container of the agent.
const AGENT: &str = "agent";
/// How names of containers of services begin.
const SERVICE: &str = "service-";

/// Whose a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// The agent's.
    Agent,
    /// It runs steps.
    Steps,
    /// A service, by its name as a label.
    Service(&'a str),
    /// A template's, or one that the cluster adds to each pod.
    Other,
}

/// Tells whose a container is by its name.
pub(super) fn owner(name: &str) -> Owner<'_> {
    let steps = name.strip_prefix(STEPS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    match name.strip_prefix(SERVICE) {
        _ if name == AGENT => Owner::Agent,
        _ if steps => Owner::Steps,
        Some(service) => Owner::Service(service),
        None => Owner::Other,
    }
}

/// All containers, those that start first first.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let main = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    init_statuses(pod).chain(main)
}

/// Init containers, sidecars among them.
pub(super) fn init_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.as_ref().and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten()
}

/// Tells whether a container of steps runs or has run.
pub(in super::super) fn steps_began(pod: &Pod) -> bool {
    let began = |state: &ContainerState| state.running.is_some() || state.terminated.is_some();
    statuses(pod).filter(|s| owner(&s.name) == Owner::Steps).any(|s| s.state.as_ref().is_some_and(began))
}

/// Tells whether the pod's volumes are mounted and its network is there: what was missing before is missing no more
/// (Kubernetes, "Pod Lifecycle", `PodReadyToStartContainers`).
pub(in super::super) fn is_set_up(pod: &Pod) -> bool {
    let mut conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref()).into_iter().flatten();
    conditions.any(|c| c.type_ == "PodReadyToStartContainers" && c.status == "True")
}

/// One line of what a component said, not too long.
pub(super) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}
