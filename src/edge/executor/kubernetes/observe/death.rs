//! Why a container or a pod ended, as a failure class and words for a person.

use super::rejected::rejected;
use super::status::{Owner, init_statuses, owner, short, statuses, steps_began};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use tidegate_flow::job::{
    FailureClass, JobSpec, StepMemory, memory_amount, memory_key, oom_advice, step_containers,
};

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

/// The container of steps that ended last, or badly. One that was left for the next ended with 0.
fn ended_steps(pod: &Pod) -> Option<(&str, &ContainerStateTerminated)> {
    let ended: Vec<(&str, &ContainerStateTerminated)> = statuses(pod)
        .filter(|s| owner(&s.name) == Owner::Steps)
        .filter_map(|s| Some((s.name.as_str(), s.state.as_ref()?.terminated.as_ref()?)))
        .collect();
    let bad = ended.iter().rev().find(|(_, state)| state.exit_code != 0);
    bad.or(ended.last()).copied().filter(|(_, state)| state.exit_code != 0 || running_steps(pod).is_none())
}

/// A container of steps that runs now.
fn running_steps(pod: &Pod) -> Option<&ContainerStatus> {
    let steps = |s: &&ContainerStatus| owner(&s.name) == Owner::Steps;
    statuses(pod).filter(steps).find(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// Says why the container of the steps ended; `None` while it runs or is not known.
pub fn death(pod: &Pod, spec: &JobSpec) -> Option<Death> {
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let at = |what: String| if node.is_empty() { what } else { format!("{what} (node {node})") };
    if let Some(death) = disrupted(pod) {
        return Some(Death { reason: at(death.reason), ..death });
    }
    if let Some(death) = agent_death(pod) {
        return Some(Death { reason: at(death.reason), ..death });
    }
    if let Some(death) = init_death(pod).or_else(|| service_death(pod)) {
        return Some(Death { reason: at(death.reason), ..death });
    }
    let (container, ended) = ended_steps(pod)?;
    let exit = Some(ended.exit_code);
    let death = |class, reason| Some(Death { class, exit, reason: at(reason) });
    match ended.reason.as_deref().unwrap_or_default() {
        "OOMKilled" => death(FailureClass::Oom, memory_words(spec, container, ended.exit_code)),
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
            format!(
                "the container of the steps was killed (exit 137), and nobody says for its memory; if it may be that, \
                 raise `{}`",
                memory_key(memory_of(spec, container).1.as_ref())
            ),
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
    let agent = statuses(pod).find(|s| owner(&s.name) == Owner::Agent)?;
    let steps = statuses(pod).filter(|s| owner(&s.name) == Owner::Steps).last()?;
    steps.state.as_ref()?.terminated.as_ref()?;
    let before = agent.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    // One that leaves after its steps does so by itself.
    let now = agent.state.as_ref().and_then(|s| s.terminated.as_ref()).filter(|e| e.exit_code == 137);
    let ended = before.or(now)?;
    let how = format!(" ({}, exit {})", ended.reason.as_deref().unwrap_or("killed"), ended.exit_code);
    let reason = format!("Tidegate's own container in the pod ended{how}, and the steps with it");
    Some(Death { class: FailureClass::Lost, exit: None, reason })
}

/// Whether the agent was killed while steps ran, and if so, whether what it printed is that of its run before.
pub(in super::super) fn killed_agent(pod: &Pod) -> Option<bool> {
    agent_death(pod)?;
    let agent = statuses(pod).find(|s| owner(&s.name) == Owner::Agent)?;
    Some(agent.last_state.as_ref().is_some_and(|s| s.terminated.is_some()))
}

/// An init container that a template or the cluster added has failed, so that no step ran.
fn init_death(pod: &Pod) -> Option<Death> {
    let failed = failed_init(pod)?;
    let ended = failed.state.as_ref()?.terminated.as_ref()?;
    let name = &failed.name;
    let made = |class, reason| Some(Death { class, exit: None, reason });
    match ended.reason.as_deref().unwrap_or_default() {
        "OOMKilled" => made(
            FailureClass::Oom,
            format!("the init container `{name}` was killed for memory; raise its limit in the pod template"),
        ),
        "ContainerCannotRun" | "StartError" => {
            let why = short(ended.message.as_deref().unwrap_or_default());
            made(FailureClass::Image, format!("the init container `{name}` cannot be started: {why}"))
        }
        _ => made(
            FailureClass::Failure,
            format!(
                "the init container `{name}` of its pod ended with exit {}, so no step ran",
                ended.exit_code
            ),
        ),
    }
}

fn failed_init(pod: &Pod) -> Option<&ContainerStatus> {
    let failed = |s: &&ContainerStatus| {
        let ended = s.state.as_ref().and_then(|state| state.terminated.as_ref());
        owner(&s.name) == Owner::Other && ended.is_some_and(|ended| ended.exit_code != 0)
    };
    // What ends with a pod that is deleted is told to.
    init_statuses(pod).find(failed).filter(|_| pod.metadata.deletion_timestamp.is_none() && !steps_began(pod))
}

/// A service that ended, or was ended because its health command never passed, before any step ran.
pub(super) fn service_death(pod: &Pod) -> Option<Death> {
    let sick = sick_service(pod)?;
    let Owner::Service(name) = owner(&sick.name) else { return None };
    // The one before it, or where it has ended again and that one was cleared away, itself.
    let states = [sick.last_state.as_ref(), sick.state.as_ref()];
    let last = states.into_iter().flatten().find_map(|state| state.terminated.as_ref());
    let made = |class, reason| Some(Death { class, exit: None, reason });
    match last.map(|ended| (ended.reason.as_deref().unwrap_or_default(), ended)) {
        Some(("ContainerCannotRun" | "StartError", ended)) => {
            let why = short(ended.message.as_deref().unwrap_or_default());
            made(FailureClass::Image, format!("the service `{name}` cannot be started: {why}"))
        }
        Some(("OOMKilled", _)) => {
            made(FailureClass::Oom, format!("the service `{name}` was killed for memory before any step ran"))
        }
        // How a kubelet ends a container whose startup probe has failed too often.
        Some((_, ended)) if matches!(ended.exit_code, 137 | 143) => made(
            FailureClass::Failure,
            format!(
                "the service `{name}` did not get healthy in the time its `--health-*` options give it; raise \
                 `--health-retries` or `--health-start-period` if it only needs longer"
            ),
        ),
        Some((_, ended)) => made(
            FailureClass::Failure,
            format!("the service `{name}` ended with exit {} before it was healthy", ended.exit_code),
        ),
        // Cleared away before its node said how it ended.
        None => made(
            FailureClass::Failure,
            format!(
                "the service `{name}` did not get healthy: it ended, or `--health-retries` and \
                 `--health-start-period` gave it no longer"
            ),
        ),
    }
}

fn sick_service(pod: &Pod) -> Option<&ContainerStatus> {
    let sick = |s: &&ContainerStatus| {
        matches!(owner(&s.name), Owner::Service(_)) && s.restart_count > 0 && s.started != Some(true)
    };
    init_statuses(pod).find(sick).filter(|_| pod.metadata.deletion_timestamp.is_none() && !steps_began(pod))
}

/// The container whose last lines say why an attempt failed, and whether they are those of its run before.
pub(in super::super) fn quote(pod: &Pod) -> Option<(&str, bool)> {
    let init = failed_init(pod).map(|status| (status.name.as_str(), false));
    let runs = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    init.or_else(|| sick_service(pod).map(|status| (status.name.as_str(), runs(status))))
}

/// What the steps' container that was killed for memory had, where a step's own `resources` say it.
pub(in super::super) fn step_memory(pod: &Pod, spec: &JobSpec) -> Option<StepMemory> {
    let (container, ended) = ended_steps(pod)?;
    (ended.reason.as_deref() == Some("OOMKilled")).then(|| memory_of(spec, container).1)?
}

/// The limit of a container of steps in bytes, 0 for none, and what of it is a step's own.
fn memory_of(spec: &JobSpec, container: &str) -> (u64, Option<StepMemory>) {
    let part = step_containers(spec).into_iter().find(|part| part.name == container);
    part.map_or((spec.resources.memory_bytes, None), |part| {
        (part.resources.memory_bytes, StepMemory::of(spec, &part))
    })
}

fn memory_words(spec: &JobSpec, container: &str, exit: i32) -> String {
    let (bytes, own) = memory_of(spec, container);
    if bytes == 0 {
        let key = memory_key(own.as_ref());
        return format!("killed for memory (exit {exit}): the node had no more; say `{key}`");
    }
    let (limit, advice) = (memory_amount(bytes), oom_advice(own.as_ref()));
    format!("killed at its limit of {limit} of memory (exit {exit}); {advice}")
}

/// The pod as a whole was ended by the cluster.
pub(in super::super) fn disrupted(pod: &Pod) -> Option<Death> {
    let status = pod.status.as_ref()?;
    let said = status.message.clone().unwrap_or_default();
    let made = |class, reason: String| Some(Death { class, exit: None, reason });
    if status.reason.as_deref() == Some("Evicted") {
        // A kubelet that starts again under pressure keeps nobody: "The node had condition: [DiskPressure]".
        let pressure = said.contains("DiskPressure");
        let storage =
            pressure || ["ephemeral", "emptyDir", "EmptyDir"].iter().any(|word| said.contains(word));
        let node = pressure || said.contains("low on resource");
        let said = short(&said);
        return match (storage, node) {
            (true, false) => made(
                FailureClass::Disk,
                format!("evicted for its disk use: {said}; raise `resources.ephemeral-storage`"),
            ),
            (true, true) => made(
                FailureClass::Disk,
                format!(
                    "evicted because its node ran out of disk: {said}; say in `resources.ephemeral-storage` what it \
                     needs, so that it gets a node that has it"
                ),
            ),
            (false, _) if said.contains("resource: memory") => made(
                FailureClass::Preempted,
                format!(
                    "evicted because its node ran out of memory: {said}; say in `resources.memory` what it needs, so that \
                     it gets a node that has it"
                ),
            ),
            (false, _) => made(FailureClass::Preempted, format!("evicted: {said}")),
        };
    }
    if status.reason.as_deref() == Some("DeadlineExceeded") {
        let said = short(&said);
        return made(FailureClass::Timeout, format!("the cluster ended its pod after its deadline: {said}"));
    }
    if status.reason.as_deref() == Some("NodeLost") {
        return made(FailureClass::Lost, "its node is gone".to_owned());
    }
    let target =
        status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let Some(target) = target else { return rejected(status) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};
    use tidegate_flow::job::{ResourceRequest, StepPlace, StepSpec};

    fn pod(status: Json) -> Pod {
        serde_json::from_value(json!({"spec": {"nodeName": "gpu-7", "containers": []}, "status": status}))
            .unwrap()
    }

    fn asks(memory_bytes: u64) -> JobSpec {
        let resources = ResourceRequest { memory_bytes, ..ResourceRequest::default() };
        JobSpec { image: Some("i".into()), resources, ..JobSpec::default() }
    }

    #[test]
    fn a_kill_for_memory_names_the_key_of_the_container_that_was_killed() {
        let place = StepPlace {
            step: 1,
            image: Some("own".into()),
            resources: Some(asks(40 << 20).resources),
            ..StepPlace::default()
        };
        let mut spec = asks(16 << 30);
        spec.steps = vec![StepSpec::default(); 3];
        spec.pod.steps = vec![place];
        let killed = |name: &str| {
            let state = |own: &str| {
                if own == name {
                    json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
                } else {
                    json!({"waiting": {"reason": "PodInitializing"}})
                }
            };
            let one = |own: &str| json!({"name": own, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state(own)});
            pod(
                json!({"phase": "Running", "initContainerStatuses": [one("steps-1"), one("steps-2")], "containerStatuses": [one("steps")]}),
            )
        };
        let table = [
            ("steps-1", "limit of 16 GiB of memory (exit 137); raise `resources.memory`, or", None),
            (
                "steps-2",
                "limit of 40 MiB of memory (exit 137); raise `steps[1].resources.memory`, or",
                Some(1),
            ),
            ("steps", "limit of 16 GiB of memory (exit 137); raise `resources.memory`, or", None),
        ];
        for (name, words, step) in table {
            let found = death(&killed(name), &spec).unwrap();
            assert!(found.reason.contains(words), "{found:?}");
            assert_eq!(step_memory(&killed(name), &spec).map(|own| own.step), step, "{name}");
        }
        let somebody =
            pod(json!({"containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}]}));
        assert_eq!(step_memory(&somebody, &spec), None);
    }

    fn ended(state: Json) -> Pod {
        pod(json!({"phase": "Failed", "containerStatuses": [
            {"name": "steps", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": state}}
        ]}))
    }

    #[test]
    fn every_end_of_a_container_has_a_class() {
        let table = vec![
            (ended(json!({"exitCode": 137, "reason": "OOMKilled"})), FailureClass::Oom, "limit of 16 GiB"),
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
                    json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline",
                    "containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                        "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}]}),
                ),
                FailureClass::Timeout,
                "after its deadline: Pod was active",
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds"}),
                ),
                FailureClass::Disk,
                "disk use",
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}),
                ),
                FailureClass::Disk,
                "its node ran out of disk",
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "Pod was rejected: The node had condition: [DiskPressure]."}),
                ),
                FailureClass::Disk,
                "its node ran out of disk",
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"}),
                ),
                FailureClass::Preempted,
                "out of memory: The node was low on resource: memory; say in `resources.memory`",
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
            let death = death(&pod, &asks(16 << 30)).unwrap();
            assert_eq!(death.class, class, "{death:?}");
            assert!(death.reason.contains(words) && death.reason.contains("node gpu-7"), "{death:?}");
        }
        assert_eq!(death(&pod(json!({"phase": "Running"})), &asks(0)), None);
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
        let found = death(&of(agent(1), steps(&ended)), &asks(0)).unwrap();
        assert!(found.reason.contains("own container in the pod ended (OOMKilled, exit 137)"), "{found:?}");
        assert_eq!(found.class, FailureClass::Lost);
        assert!(
            death(&of(dead, steps(&ended)), &asks(0)).unwrap().reason.contains("own container"),
            "not yet again"
        );
        let left = status("agent", 0, ended.clone(), json!({}));
        assert!(death(&of(left, steps(&ended)), &asks(0)).unwrap().reason.contains("ended with exit 4"));
        assert_eq!(death(&of(agent(1), steps(&json!({"running": {}}))), &asks(0)), None);
    }

    #[test]
    fn what_fails_before_any_step() {
        let status = |name: &str, restarts: u32, state: Json, last: Json| {
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "started": false,
                "state": state, "lastState": last})
        };
        let of = |init: Json| {
            let steps = status("steps", 0, json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
            pod(json!({"phase": "Pending", "initContainerStatuses": [init], "containerStatuses": [steps]}))
        };
        let ended = |exit: i32, reason: &str| json!({"terminated": {"exitCode": exit, "reason": reason, "message": "no such file"}});
        let init = |exit, reason| of(status("fetch", 0, ended(exit, reason), json!({})));
        let service = |exit, reason| of(status("service-db", 1, json!({"running": {}}), ended(exit, reason)));
        let gone = of(status("service-db", 1, json!({"running": {}}), json!({})));
        let table = vec![
            (gone, FailureClass::Failure, "`db` did not get healthy: it ended, or"),
            (init(3, "Error"), FailureClass::Failure, "init container `fetch` of its pod ended with exit 3"),
            (init(128, "StartError"), FailureClass::Image, "cannot be started: no such file"),
            (init(137, "OOMKilled"), FailureClass::Oom, "limit in the pod template"),
            (service(137, "Error"), FailureClass::Failure, "`db` did not get healthy"),
            (service(1, "Error"), FailureClass::Failure, "`db` ended with exit 1"),
            (service(128, "StartError"), FailureClass::Image, "`db` cannot be started"),
            (service(137, "OOMKilled"), FailureClass::Oom, "`db` was killed for memory"),
        ];
        for (pod, class, words) in table {
            let death = death(&pod, &asks(0)).unwrap();
            assert!(death.class == class && death.reason.contains(words), "{death:?}");
        }
        assert_eq!(quote(&init(3, "Error")), Some(("fetch", false)));
        assert_eq!(quote(&service(1, "Error")), Some(("service-db", true)));
        let fine = of(status("service-db", 0, json!({"running": {}}), json!({})));
        assert_eq!((death(&fine, &asks(0)), quote(&fine)), (None, None));
    }
}
