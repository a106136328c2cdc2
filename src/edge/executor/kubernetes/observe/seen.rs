//! Puts together what a Job and its newest pod say.

use super::death::service_death;
use super::status::short;
use super::{Death, Waiting, death, waiting};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use tidegate_flow::job::{FailureClass, JobSpec};

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

/// Puts together what a Job and its newest pod say.
pub fn seen(job: &Job, pod: Option<&Pod>, spec: &JobSpec) -> Seen {
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
        if let Some(death) = pod.and_then(service_death) {
            return Seen::Ended(death);
        }
        return pod.and_then(waiting).map_or(Seen::Going, Seen::Waiting);
    }
    if let Some(death) = pod.and_then(|p| death(p, spec)) {
        return Seen::Ended(death);
    }
    let condition = failed
        .map(|c| (c.reason.clone().unwrap_or_default(), short(c.message.as_deref().unwrap_or_default())));
    let (class, reason) = match condition {
        Some((reason, said)) if reason == "DeadlineExceeded" => {
            (FailureClass::Timeout, format!("the cluster ended it after its deadline: {said}"))
        }
        Some((reason, said)) if reason == "PodFailurePolicy" => return Seen::Ended(by_rule(&said)),
        Some((reason, said)) if !reason.is_empty() => {
            (FailureClass::Lost, format!("its pod is gone without a receipt ({reason}): {said}"))
        }
        _ => (FailureClass::Lost, "its pod ended without a receipt".to_owned()),
    };
    Seen::Ended(Death { class, exit: None, reason })
}

/// What the Job controller says of a pod that is gone: by which rule of the Job's `podFailurePolicy` it failed
/// (Kubernetes, `pkg/controller/job/pod_failure_policy.go`; the rules are those of `pod`).
fn by_rule(said: &str) -> Death {
    let index = said.rsplit_once("at index ").map(|(_, index)| index.trim());
    let exit =
        said.split_once("exit code ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    match index {
        // The condition is on the pod, so that which disruption it was went with it.
        Some("0") => {
            let reason = format!("its pod was taken off its node, and is gone: {said}");
            Death { class: FailureClass::Preempted, exit: None, reason }
        }
        Some("1") => {
            let reason =
                format!("a container of its pod ended without a receipt, and the pod is gone: {said}");
            Death { class: FailureClass::Lost, exit, reason }
        }
        _ => {
            let reason = format!("its pod is gone without a receipt (PodFailurePolicy): {said}");
            Death { class: FailureClass::Lost, exit: None, reason }
        }
    }
}

/// Tells whether a Job is to have no pods.
pub(in super::super) fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

/// Tells whether the cluster has lost contact with the pod's node: only the node controller says that
/// a pod is not ready whose containers are.
pub(in super::super) fn node_is_away(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let said = ready.is_some_and(|c| c.status == "False" && c.reason.is_none());
    said && status.phase.as_deref() == Some("Running")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn pod(status: Json) -> Pod {
        serde_json::from_value(json!({"spec": {"nodeName": "gpu-7", "containers": []}, "status": status}))
            .unwrap()
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
        assert_eq!(
            class(seen(&job("DeadlineExceeded"), None, &JobSpec::default())),
            Some(FailureClass::Timeout)
        );
        assert_eq!(
            class(seen(&job("BackoffLimitExceeded"), None, &JobSpec::default())),
            Some(FailureClass::Lost)
        );
        assert_eq!(seen(&Job::default(), None, &JobSpec::default()), Seen::Going);
        // A pod that ended with 0 and no receipt is no success.
        let done = pod(json!({"phase": "Succeeded"}));
        assert_eq!(class(seen(&Job::default(), Some(&done), &JobSpec::default())), Some(FailureClass::Lost));
    }

    #[test]
    fn the_rule_that_a_job_failed_by_says_what_became_of_a_pod_that_is_gone() {
        let table = [
            (
                "Pod default/tg-x-4kz2p has condition DisruptionTarget matching FailJob rule at index 0",
                FailureClass::Preempted,
                None,
                "taken off its node",
            ),
            (
                "Container steps for pod default/tg-x-4kz2p failed with exit code 137 matching FailJob rule at index 1",
                FailureClass::Lost,
                Some(137),
                "Container steps for pod default/tg-x-4kz2p failed with exit code 137",
            ),
            ("Somebody's own rule at index 7", FailureClass::Lost, None, "gone without a receipt"),
            ("", FailureClass::Lost, None, "gone without a receipt"),
        ];
        for (message, class, exit, words) in table {
            let job: Job = serde_json::from_value(json!({"status": {"conditions": [
                {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": message}
            ]}}))
            .unwrap();
            // What was last known of its pod says nothing.
            let running = pod(json!({"phase": "Running"}));
            for pod in [None, Some(&running)] {
                let Seen::Ended(death) = seen(&job, pod, &JobSpec::default()) else { panic!("{message}") };
                assert!(
                    death.class == class && death.exit == exit && death.reason.contains(words),
                    "{death:?}"
                );
            }
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
    fn a_suspended_job_waits() {
        let job: Job = serde_json::from_value(json!({"spec": {"suspend": true, "template": {}}})).unwrap();
        assert!(is_suspended(&job) && !is_suspended(&Job::default()));
        let Seen::Waiting(waits) = seen(&job, None, &JobSpec::default()) else { panic!() };
        assert!(waits.reason().contains("suspended"));
    }
}
