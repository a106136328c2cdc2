//! Why a pod does not run yet. Not here: what a person is told of it (`words`).

use super::status::{Owner, init_statuses, owner, short, statuses, steps_began};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use std::time::Duration;

/// Why a pod does not run yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// No node has room; the scheduler's words.
    Unschedulable(String),
    /// The cluster lets no pod be made for now: a quota is used up, a webhook does not answer.
    NotMade(String),
    /// Its Job is suspended.
    Suspended(String),
    /// The API server does not take its Job for now.
    NoAnswer(String),
    /// An image cannot be had.
    Image(String),
    /// A container cannot be started: its command, its user, its mounts.
    Start(String),
    /// What the pod needs is not there: a Secret, a config map, a volume.
    SetUp(String),
    /// Its node cannot make its sandbox: no address is left, the runtime does not have its class.
    Sandbox(String),
    /// Its containers are made: images are pulled, volumes attached.
    Creating(String),
    /// An init container that is not the engine's still runs.
    Init(String),
    /// A service is not healthy yet.
    Service(String),
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Bound {
    /// `pending-timeout`: it has no place.
    Pending,
    /// `image-patience`: it has one, and cannot be set up there.
    Image,
    /// Nothing here.
    Nothing,
}

impl Waiting {
    /// Returns it in the words of who said it.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unschedulable(text)
            | Self::NotMade(text)
            | Self::Suspended(text)
            | Self::NoAnswer(text)
            | Self::Image(text)
            | Self::Start(text)
            | Self::SetUp(text)
            | Self::Sandbox(text)
            | Self::Creating(text)
            | Self::Init(text)
            | Self::Service(text) => text,
        }
    }

    /// Returns what ends it.
    pub(in super::super) fn bound(&self) -> Bound {
        match self {
            Self::Unschedulable(_) | Self::NotMade(_) | Self::Suspended(_) => Bound::Pending,
            Self::Image(_) | Self::Start(_) | Self::SetUp(_) | Self::Sandbox(_) => Bound::Image,
            Self::NoAnswer(_) | Self::Creating(_) | Self::Init(_) | Self::Service(_) => Bound::Nothing,
        }
    }

    /// After which time it is worth a word.
    pub(super) fn patience(&self) -> Duration {
        match self {
            // Every pod does this for a while.
            Self::Creating(_) | Self::Init(_) | Self::Service(_) => Duration::from_secs(15),
            _ => Duration::from_secs(4),
        }
    }

    /// Tells whether other words mean that something else is waited for.
    pub(super) fn changes(&self) -> bool {
        // A kubelet says the same pull in turns as an error and as a pause, and each sandbox has a name of its own.
        !matches!(self, Self::Image(_) | Self::Sandbox(_))
    }
}

/// Says why a pod does not run yet.
pub fn waiting(pod: &Pod) -> Option<Waiting> {
    if let Some(stuck) = statuses(pod).find_map(stuck) {
        return Some(stuck);
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref();
    let scheduled = conditions.and_then(|c| c.iter().find(|c| c.type_ == "PodScheduled"))?;
    if scheduled.status == "False" {
        let said = scheduler_words(scheduled.message.as_deref().unwrap_or_default());
        return Some(Waiting::Unschedulable(said));
    }
    if steps_began(pod) {
        return None;
    }
    begins(pod)
}

/// A container that the kubelet cannot get to run.
fn stuck(status: &ContainerStatus) -> Option<Waiting> {
    let Some(ContainerState { waiting: Some(waiting), .. }) = &status.state else { return None };
    let said = short(waiting.message.as_deref().unwrap_or_default());
    let (image, name) = (&status.image, &status.name);
    match waiting.reason.as_deref().unwrap_or_default() {
        reason @ ("ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable") => {
            let advice = image_advice(&said);
            Some(Waiting::Image(format!("the image {image} cannot be pulled ({reason}): {said}{advice}")))
        }
        // A Secret of the attempt itself comes a moment after its Job.
        "CreateContainerConfigError" if !is_own(&said) => Some(Waiting::SetUp(missing(name, &said))),
        "CreateContainerError" | "RunContainerError" => {
            Some(Waiting::Start(format!("the container `{name}` cannot be started: {said}")))
        }
        _ => None,
    }
}

/// What a registry's answer means for a person.
fn image_advice(said: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["no match for platform", "no matching manifest", "platform does not match"]) {
        return "; it is made for another kind of machine than the node (`docker buildx build --platform`)";
    }
    if has(&["unauthorized", "Unauthorized", "denied", "authorization failed", "403 Forbidden", "basic auth"])
    {
        return "; the registry wants credentials, or others: `credentials` of the `container`, the service or the step, \
                or `image-pull-secrets` of the settings";
    }
    ""
}

/// What the first container does that has not come as far as the next one needs.
fn begins(pod: &Pod) -> Option<Waiting> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let done = |s: &&ContainerStatus| {
        let ended = s.state.as_ref().is_some_and(|state| state.terminated.is_some());
        ended || s.state.as_ref().is_some_and(|s| s.running.is_some()) && s.started == Some(true)
    };
    let Some(first) = statuses(pod).find(|s| !done(s) || (owner(&s.name) == Owner::Other && !ended(s)))
    else {
        return Some(Waiting::Creating(format!("the node {node} makes its pod ready")));
    };
    let running = first.state.as_ref().is_some_and(|state| state.running.is_some());
    let is_init = init_statuses(pod).any(|s| s.name == first.name);
    match owner(&first.name) {
        Owner::Other if running && is_init => {
            let words = format!("the init container `{}` of its pod still runs", first.name);
            Some(Waiting::Init(words))
        }
        Owner::Service(name) if running => {
            Some(Waiting::Service(format!("the service `{name}` is not healthy yet")))
        }
        _ if running => None,
        _ => Some(Waiting::Creating(format!(
            "the node {node} makes the container `{}` ready; it may still pull {}",
            first.name, first.image
        ))),
    }
}

fn ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// The scheduler's words without what it thought of preemption and resource claims.
fn scheduler_words(said: &str) -> String {
    let said = said.split(" preemption:").next().unwrap_or_default();
    short(&said.replace("no new claims to deallocate,", "")).trim_end_matches([',', '.', ' ']).to_owned()
}

pub(super) const ADVICE: &str = "make what is missing in the namespace, or change the pod template";

fn missing(container: &str, said: &str) -> String {
    format!("what the container `{container}` needs is not there: {said}; {ADVICE}")
}

/// Tells whether words of the kubelet are about a Secret that the engine makes.
pub(super) fn is_own(said: &str) -> bool {
    said.contains("secret \"tg-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn pod(status: Json) -> Pod {
        serde_json::from_value(json!({"spec": {"nodeName": "gpu-7", "containers": []}, "status": status}))
            .unwrap()
    }

    fn status(name: &str, started: bool, state: Json) -> Json {
        json!({"name": name, "image": "nope:1", "imageID": "", "ready": false, "restartCount": 0,
            "started": started, "state": state})
    }

    fn scheduled(status: &str, message: &str) -> Json {
        json!([{"type": "PodScheduled", "status": status, "reason": "Unschedulable", "message": message}])
    }

    #[test]
    fn what_a_pod_waits_for() {
        let waits = |state: Json| {
            let steps = status("steps", false, json!({"waiting": state}));
            waiting(&pod(json!({"phase": "Pending", "containerStatuses": [steps]})))
        };
        let image = waits(json!({"reason": "ErrImagePull", "message": "not found"}));
        assert_eq!(
            image,
            Some(Waiting::Image("the image nope:1 cannot be pulled (ErrImagePull): not found".into()))
        );
        let other =
            json!({"reason": "ErrImagePull", "message": "no match for platform in manifest: not found"});
        assert!(waits(other).unwrap().reason().contains("another kind of machine"));
        let closed = json!({"reason": "ImagePullBackOff", "message": "pull access denied, 403 Forbidden"});
        assert!(waits(closed).unwrap().reason().contains("`image-pull-secrets`"));
        let missing =
            waits(json!({"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"}));
        assert!(matches!(missing, Some(Waiting::SetUp(_))));
        let own =
            json!({"reason": "CreateContainerConfigError", "message": "secret \"tg-01j-a-0-1\" not found"});
        assert_eq!(waits(own), None, "it comes in a moment");
        let start = waits(json!({"reason": "RunContainerError", "message": "exec: no such file"}));
        assert!(matches!(start, Some(Waiting::Start(_))));
        assert_eq!(waits(json!({"reason": "PodInitializing"})), None);
    }

    #[test]
    fn the_scheduler_is_quoted_without_its_thoughts() {
        let said = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, \
                    preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
        let unschedulable = pod(json!({"conditions": scheduled("False", said)}));
        let words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu";
        assert_eq!(waiting(&unschedulable), Some(Waiting::Unschedulable(words.into())));
    }

    #[test]
    fn what_a_pod_does_before_its_steps() {
        let (running, later) = (json!({"running": {}}), json!({"waiting": {"reason": "PodInitializing"}}));
        let of = |init: Vec<Json>| {
            let steps = status("steps", false, later.clone());
            waiting(&pod(json!({"phase": "Pending", "conditions": scheduled("True", ""),
                "initContainerStatuses": init, "containerStatuses": [steps]})))
        };
        let agent = || status("agent", true, running.clone());
        let found = of(vec![agent()]);
        assert!(
            matches!(found, Some(Waiting::Creating(said)) if said.contains("`steps` ready; it may still pull nope:1"))
        );
        let found = of(vec![agent(), status("fetch", true, running.clone())]);
        assert!(matches!(found, Some(Waiting::Init(said)) if said.contains("`fetch`")));
        let found = of(vec![agent(), status("service-db", false, running.clone())]);
        assert!(matches!(found, Some(Waiting::Service(said)) if said.contains("`db`")));
        assert_eq!(of(vec![status("agent", false, running.clone())]), None, "it puts the program there");
        let begun = pod(json!({"phase": "Running", "conditions": scheduled("True", ""),
            "containerStatuses": [status("steps", true, running)]}));
        assert_eq!(waiting(&begun), None);
    }
}
