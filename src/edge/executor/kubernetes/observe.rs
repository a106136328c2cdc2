//! What is seen of a Job and its pod, as a failure class and words for a person. Pure.
//!
//! A job ends when its receipt arrives; what is here only explains why there is none, or why a
//! container ended under a step. Not here: watching (`executor`).

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use tidegate_flow::job::FailureClass;

/// Why something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its class.
    pub class: FailureClass,
    /// Exit code of the container, if it had one.
    pub exit: Option<i32>,
    /// One line: what happened, where, and what to change.
    pub reason: String,
}

/// Why a pod does not run yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// No node has room; the scheduler's words.
    Unschedulable(String),
    /// An image cannot be had.
    Image(String),
    /// The pod cannot be set up: a secret or a config map is missing, a command cannot be started.
    SetUp(String),
    /// The cluster lets no pod be made for now: a quota is used up, a webhook does not answer.
    NotMade(String),
    /// Its Job is suspended.
    Suspended(String),
}

impl Waiting {
    /// Returns it in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unschedulable(text)
            | Self::Image(text)
            | Self::SetUp(text)
            | Self::NotMade(text)
            | Self::Suspended(text) => text,
        }
    }
}

/// What a Job and its pod say, in the order in which it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It waits.
    Waiting(Waiting),
    /// It is on its way, or runs.
    Going,
    /// It ended, and nothing of it runs any more.
    Ended(Death),
}

/// Name of the container that runs the last steps; those before it are `steps-1`, `steps-2` …
const STEPS: &str = "steps";
/// Name of the container of the agent.
const AGENT: &str = "agent";

/// The container of steps that ended last, or badly. One that was left for the next ended with 0.
fn ended_steps(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let ended: Vec<&ContainerStateTerminated> = statuses(pod)
        .filter(|s| s.name == STEPS || s.name.strip_prefix(STEPS).is_some_and(|rest| rest.starts_with('-')))
        .filter_map(|s| s.state.as_ref()?.terminated.as_ref())
        .collect();
    let bad = ended.iter().rev().find(|state| state.exit_code != 0);
    bad.or(ended.last()).copied().filter(|state| state.exit_code != 0 || running_steps(pod).is_none())
}

/// A container of steps that runs now.
fn running_steps(pod: &Pod) -> Option<&ContainerStatus> {
    let steps = |s: &&ContainerStatus| s.name.starts_with(STEPS);
    statuses(pod).filter(steps).find(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// Says why the container of the steps ended; `None` while it runs or is not known.
pub fn death(pod: &Pod, memory_bytes: u64) -> Option<Death> {
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let at = |what: String| if node.is_empty() { what } else { format!("{what} (node {node})") };
    if let Some(death) = disrupted(pod) {
        return Some(Death { reason: at(death.reason), ..death });
    }
    if let Some(death) = agent_death(pod) {
        return Some(Death { reason: at(death.reason), ..death });
    }
    let ended = ended_steps(pod)?;
    let exit = Some(ended.exit_code);
    let death = |class, reason| Some(Death { class, exit, reason: at(reason) });
    match ended.reason.as_deref().unwrap_or_default() {
        "OOMKilled" => death(FailureClass::Oom, memory_words(memory_bytes, ended.exit_code)),
        "ContainerCannotRun" | "StartError" => {
            let why = ended.message.clone().unwrap_or_default();
            death(FailureClass::Image, format!("the container cannot be started: {}", short(&why)))
        }
        "ContainerStatusUnknown" => {
            death(FailureClass::Lost, "the node lost the container of the steps".to_owned())
        }
        // A kill for memory that the runtime did not notice: cgroup v1 kills one process only.
        _ if ended.exit_code == 137 => death(
            FailureClass::Lost,
            "the container of the steps was killed (exit 137), and nobody says for its memory; if it may be that, \
             raise `resources.memory`"
                .to_owned(),
        ),
        _ => death(
            FailureClass::Lost,
            format!("the container of the steps ended with exit {} before its steps did", ended.exit_code),
        ),
    }
}

/// The agent was killed, and with it went what it knew of its steps.
fn agent_death(pod: &Pod) -> Option<Death> {
    // A pod that is deleted ends all of its containers.
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let agent = statuses(pod).find(|s| s.name == AGENT)?;
    let steps = statuses(pod).find(|s| s.name == STEPS)?;
    steps.state.as_ref()?.terminated.as_ref()?;
    let before = agent.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    // One that leaves after its steps does so by itself.
    let now = agent.state.as_ref().and_then(|s| s.terminated.as_ref()).filter(|e| e.exit_code == 137);
    let ended = before.or(now)?;
    let how = format!(" ({}, exit {})", ended.reason.as_deref().unwrap_or("killed"), ended.exit_code);
    let reason = format!("Tidegate's own container in the pod ended{how}, and the steps with it");
    Some(Death { class: FailureClass::Lost, exit: None, reason })
}

fn memory_words(memory_bytes: u64, exit: i32) -> String {
    if memory_bytes == 0 {
        return format!("killed for memory (exit {exit}): the node had no more; say `resources.memory`");
    }
    let gib = f64::from(u32::try_from(memory_bytes >> 20).unwrap_or(u32::MAX)) / 1024.0;
    format!(
        "killed at its limit of {gib:.1} GiB of memory (exit {exit}); raise `resources.memory`, or let \
         `retry.on: [oom]` with `oom.memory-factor` do so"
    )
}

/// The pod as a whole was ended by the cluster.
pub(super) fn disrupted(pod: &Pod) -> Option<Death> {
    let status = pod.status.as_ref()?;
    let said = status.message.clone().unwrap_or_default();
    let made = |class, reason: String| Some(Death { class, exit: None, reason });
    if status.reason.as_deref() == Some("Evicted") {
        let storage = said.contains("ephemeral") || said.contains("emptyDir") || said.contains("EmptyDir");
        return if storage {
            made(FailureClass::Disk, format!("evicted for its disk use: {}", short(&said)))
        } else {
            made(FailureClass::Preempted, format!("evicted: {}", short(&said)))
        };
    }
    if status.reason.as_deref() == Some("NodeLost") {
        return made(FailureClass::Lost, "its node is gone".to_owned());
    }
    let target =
        status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let said = target.message.clone().unwrap_or_default();
    match target.reason.as_deref().unwrap_or_default() {
        // Kubernetes, "Pod disruption conditions".
        "TerminationByKubelet" if said.contains("ephemeral") || said.contains("torage") => {
            made(FailureClass::Disk, format!("ended for its disk use: {}", short(&said)))
        }
        "DeletionByTaintManager" => made(FailureClass::Lost, format!("its node went away: {}", short(&said))),
        "PreemptionByScheduler" => made(FailureClass::Preempted, format!("preempted: {}", short(&said))),
        reason => made(FailureClass::Preempted, format!("taken off its node ({reason}): {}", short(&said))),
    }
}

/// What an event of a Job means that gets no pod: it waits, or there will never be one.
pub fn not_made(said: &str) -> Result<Waiting, Death> {
    let said = said.split_once("forbidden: ").map_or(said, |(_, why)| why);
    let said = short(said.trim_start_matches("Error creating: "));
    let never = |reason: String| Err(Death { class: FailureClass::Unschedulable, exit: None, reason });
    if said.contains("violates PodSecurity") {
        return never(format!(
            "the namespace's Pod Security level does not allow its pod: {said}; run it in another namespace, or let \
             the level of this one be changed"
        ));
    }
    if said.contains("must specify") {
        return never(format!("the namespace's quota wants more to be said in `resources`: {said}"));
    }
    if said.starts_with("exceeded quota") {
        let words = "a quota of the namespace is used up; it waits until there is room";
        return Ok(Waiting::NotMade(format!("{words} ({said})")));
    }
    if said.contains("denied request") || said.contains("denied the request") {
        return never(format!("a policy of the cluster does not allow its pod: {said}"));
    }
    Ok(Waiting::NotMade(format!("the cluster does not make its pod: {said}")))
}

/// Tells whether the cluster has lost contact with the pod's node: only the node controller says that
/// a pod is not ready whose containers are.
pub fn node_is_away(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let said = ready.is_some_and(|c| c.status == "False" && c.reason.is_none());
    said && status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Says why a pod does not run yet.
pub fn waiting(pod: &Pod) -> Option<Waiting> {
    for status in statuses(pod) {
        let Some(ContainerState { waiting: Some(waiting), .. }) = &status.state else { continue };
        let said = short(waiting.message.as_deref().unwrap_or_default());
        let image = &status.image;
        match waiting.reason.as_deref().unwrap_or_default() {
            reason @ ("ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable") => {
                return Some(Waiting::Image(format!(
                    "the image {image} cannot be pulled ({reason}): {said}"
                )));
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                return Some(Waiting::SetUp(format!(
                    "the container `{}` cannot be set up: {said}",
                    status.name
                )));
            }
            _ => {}
        }
    }
    let scheduled = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == "PodScheduled")?;
    (scheduled.status == "False")
        .then(|| Waiting::Unschedulable(short(scheduled.message.as_deref().unwrap_or_default())))
}

/// Puts together what a Job and its newest pod say.
pub fn seen(job: &Job, pod: Option<&Pod>, memory_bytes: u64) -> Seen {
    let failed = job.status.as_ref().and_then(|s| s.conditions.as_ref()).and_then(|c| {
        c.iter().find(|c| (c.type_ == "Failed" || c.type_ == "Complete") && c.status == "True")
    });
    let over = pod.and_then(|p| p.status.as_ref()).and_then(|s| s.phase.as_deref());
    let over = matches!(over, Some("Failed" | "Succeeded"));
    if !over && failed.is_none() {
        if pod.is_none() && is_suspended(job) {
            let words = "its Job is suspended, by Kueue or by hand, until somebody lets it go on";
            return Seen::Waiting(Waiting::Suspended(words.to_owned()));
        }
        return pod.and_then(waiting).map_or(Seen::Going, Seen::Waiting);
    }
    if let Some(death) = pod.and_then(|p| disrupted(p).or_else(|| death(p, memory_bytes))) {
        return Seen::Ended(death);
    }
    let condition = failed
        .map(|c| (c.reason.clone().unwrap_or_default(), short(c.message.as_deref().unwrap_or_default())));
    let (class, reason) = match condition {
        Some((reason, said)) if reason == "DeadlineExceeded" => {
            (FailureClass::Timeout, format!("the cluster ended it after its deadline: {said}"))
        }
        Some((reason, said)) if !reason.is_empty() => {
            (FailureClass::Lost, format!("its pod is gone without a receipt ({reason}): {said}"))
        }
        _ => (FailureClass::Lost, "its pod ended without a receipt".to_owned()),
    };
    Seen::Ended(Death { class, exit: None, reason })
}

/// Tells whether a Job is to have no pods.
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let main = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    let init = status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
    init.chain(main)
}

/// One line of what a component said, not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn pod(status: Json) -> Pod {
        serde_json::from_value(json!({"spec": {"nodeName": "gpu-7", "containers": []}, "status": status}))
            .unwrap()
    }

    fn ended(state: Json) -> Pod {
        pod(json!({"phase": "Failed", "containerStatuses": [
            {"name": "steps", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": state}}
        ]}))
    }

    #[test]
    fn every_end_of_a_container_has_a_class() {
        let table = vec![
            (ended(json!({"exitCode": 137, "reason": "OOMKilled"})), FailureClass::Oom, "limit of 16.0 GiB"),
            (ended(json!({"exitCode": 137, "reason": "Error"})), FailureClass::Lost, "exit 137"),
            (
                ended(json!({"exitCode": 128, "reason": "StartError", "message": "no such\nfile"})),
                FailureClass::Image,
                "no such file",
            ),
            (
                ended(json!({"exitCode": 137, "reason": "ContainerStatusUnknown"})),
                FailureClass::Lost,
                "the node lost",
            ),
            (ended(json!({"exitCode": 3, "reason": "Error"})), FailureClass::Lost, "exit 3"),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds"}),
                ),
                FailureClass::Disk,
                "disk use",
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"}),
                ),
                FailureClass::Preempted,
                "low on resource",
            ),
            (
                pod(
                    json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "x"}]}),
                ),
                FailureClass::Preempted,
                "preempted",
            ),
            (
                pod(
                    json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "x"}]}),
                ),
                FailureClass::Preempted,
                "EvictionByEvictionAPI",
            ),
            (
                pod(
                    json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "x"}]}),
                ),
                FailureClass::Lost,
                "node went away",
            ),
        ];
        for (pod, class, words) in table {
            let death = death(&pod, 16 << 30).unwrap();
            assert_eq!(death.class, class, "{death:?}");
            assert!(death.reason.contains(words) && death.reason.contains("node gpu-7"), "{death:?}");
        }
        assert_eq!(death(&pod(json!({"phase": "Running"})), 0), None);
    }

    #[test]
    fn what_a_pod_waits_for() {
        let waits = |state: Json| {
            waiting(&pod(json!({"phase": "Pending", "containerStatuses": [
                {"name": "steps", "image": "nope:1", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": state}}
            ]})))
        };
        let image = waits(json!({"reason": "ErrImagePull", "message": "not found"}));
        assert_eq!(
            image,
            Some(Waiting::Image("the image nope:1 cannot be pulled (ErrImagePull): not found".into()))
        );
        assert!(matches!(waits(json!({"reason": "CreateContainerConfigError"})), Some(Waiting::SetUp(_))));
        assert_eq!(waits(json!({"reason": "PodInitializing"})), None);
        let unschedulable = pod(json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient nvidia.com/gpu"}
        ]}));
        assert_eq!(
            waiting(&unschedulable),
            Some(Waiting::Unschedulable("0/1 nodes: Insufficient nvidia.com/gpu".into()))
        );
    }

    #[test]
    fn a_job_without_a_pod_is_lost_and_one_past_its_deadline_is_timed_out() {
        let job = |reason: &str| -> Job {
            serde_json::from_value(json!({"status": {"conditions": [
                {"type": "Failed", "status": "True", "reason": reason, "message": "m"}
            ]}}))
            .unwrap()
        };
        let class = |seen| match seen {
            Seen::Ended(death) => Some(death.class),
            _ => None,
        };
        assert_eq!(class(seen(&job("DeadlineExceeded"), None, 0)), Some(FailureClass::Timeout));
        assert_eq!(class(seen(&job("BackoffLimitExceeded"), None, 0)), Some(FailureClass::Lost));
        assert_eq!(seen(&Job::default(), None, 0), Seen::Going);
        // A pod that ended with 0 and no receipt is no success.
        let done = pod(json!({"phase": "Succeeded"}));
        assert_eq!(class(seen(&Job::default(), Some(&done), 0)), Some(FailureClass::Lost));
    }

    #[test]
    fn what_keeps_a_pod_from_being_made() {
        let quota = r#"Error creating: pods "tg-x-1" is forbidden: exceeded quota: small, requested: cpu=2, used: cpu=0, limited: cpu=1"#;
        let Ok(Waiting::NotMade(words)) = not_made(quota) else { panic!() };
        assert!(words.contains("waits until there is room") && words.contains("limited: cpu=1"), "{words}");
        let hook =
            "Error creating: Internal error occurred: failed calling webhook \"x\": connection refused";
        assert!(matches!(not_made(hook), Ok(Waiting::NotMade(_))), "it may answer later");
        let table = [
            (
                r#"Error creating: pods "t" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
                "Pod Security level does not allow its pod: violates PodSecurity \"restricted:latest\": runAsNonRoot",
            ),
            (
                r#"Error creating: pods "t" is forbidden: failed quota: q: must specify cpu for: steps"#,
                "`resources`: failed quota: q: must specify cpu",
            ),
            (
                r#"Error creating: pods "t" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"#,
                "a policy of the cluster does not allow its pod: ValidatingAdmissionPolicy 'p'",
            ),
            (
                r#"Error creating: admission webhook "v.kyverno.io" denied the request: labels"#,
                "a policy of the cluster does not allow its pod: admission webhook",
            ),
        ];
        for (said, words) in table {
            let death = not_made(said).unwrap_err();
            assert!(death.class == FailureClass::Unschedulable && death.reason.contains(words), "{death:?}");
        }
    }

    #[test]
    fn a_node_is_away_when_only_the_cluster_says_that_a_pod_is_not_ready() {
        let ready = |condition: Json| pod(json!({"phase": "Running", "conditions": [condition]}));
        assert!(node_is_away(&ready(json!({"type": "Ready", "status": "False"}))));
        assert!(!node_is_away(&ready(json!({"type": "Ready", "status": "True"}))));
        let kubelet = json!({"type": "Ready", "status": "False", "reason": "ContainersNotReady"});
        assert!(!node_is_away(&ready(kubelet)));
        assert!(!node_is_away(&pod(json!({"phase": "Pending"}))));
    }

    #[test]
    fn an_agent_that_was_killed_is_what_ended_the_steps() {
        let status = |name: &str, restarts: u32, state: Json, last: Json| {
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "lastState": last})
        };
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let ended = json!({"terminated": {"exitCode": 4, "reason": "Error"}});
        let agent = |restarts| status("agent", restarts, json!({"running": {}}), killed.clone());
        let dead = status("agent", 0, killed.clone(), json!({}));
        let steps = |state: &Json| status("steps", 0, state.clone(), json!({}));
        let of = |agent: Json, steps: Json| {
            pod(json!({"phase": "Running", "initContainerStatuses": [agent], "containerStatuses": [steps]}))
        };
        let found = death(&of(agent(1), steps(&ended)), 0).unwrap();
        assert!(found.reason.contains("own container in the pod ended (OOMKilled, exit 137)"), "{found:?}");
        assert_eq!(found.class, FailureClass::Lost);
        assert!(
            death(&of(dead, steps(&ended)), 0).unwrap().reason.contains("own container"),
            "not yet again"
        );
        let left = status("agent", 0, ended.clone(), json!({}));
        assert!(death(&of(left, steps(&ended)), 0).unwrap().reason.contains("ended with exit 4"));
        assert_eq!(death(&of(agent(1), steps(&json!({"running": {}}))), 0), None);
    }

    #[test]
    fn a_suspended_job_waits() {
        let job: Job = serde_json::from_value(json!({"spec": {"suspend": true, "template": {}}})).unwrap();
        assert!(is_suspended(&job) && !is_suspended(&Job::default()));
        let Seen::Waiting(waits) = seen(&job, None, 0) else { panic!() };
        assert!(waits.reason().contains("suspended"));
    }
}
