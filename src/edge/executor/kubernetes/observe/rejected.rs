//! A pod that its node did not take or keep, and that says so: `status.reason` and `message` of a kubelet.
//!
//! Evictions, deadlines and lost nodes have words of their own (`death`).

use super::Death;
use super::status::short;
use k8s_openapi::api::core::v1::PodStatus;
use tidegate_flow::job::FailureClass;

/// Why a pod failed as a whole, by the reason that its kubelet gave (Kubernetes, `pkg/kubelet/lifecycle`, `eviction`,
/// `nodeshutdown`, `preemption`). `None`: it gave none, so that its containers have to say it.
pub(super) fn rejected(status: &PodStatus) -> Option<Death> {
    let reason = status.reason.as_deref().filter(|reason| !reason.is_empty())?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    // Kubelets begin so with what the words here say already.
    let said = short(status.message.as_deref().unwrap_or_default());
    let said = said.trim_start_matches("Pod was rejected: ");
    let (class, what) = match reason {
        "Preempting" | "Preempted" => (FailureClass::Preempted, "its node gave its place to another pod"),
        "Terminated" | "NodeShutdown" | "Shutdown" => (FailureClass::Preempted, "its node shuts down"),
        // Another node, or the same one a little later, may take it: a device plugin that was not ready, a pod that was
        // bound at the same moment.
        _ if is_admission(reason) => {
            (FailureClass::Lost, "its node did not take the pod that was bound to it")
        }
        // No node of this kind ever will.
        "SysctlForbidden"
        | "AppArmor"
        | "PodOSNotSupported"
        | "PodOSSelectorNodeLabelDoesNotMatch"
        | "InitContainerRestartPolicyForbidden"
        | "SupplementalGroupsPolicyNotSupported" => {
            (FailureClass::Unschedulable, "its node does not allow the pod; change the pod template")
        }
        _ => (FailureClass::Lost, "its node ended the pod"),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Some(Death { class, exit: None, reason: format!("{what} ({reason}){said}") })
}

/// What a kubelet says of a pod that it looked at and refused.
fn is_admission(reason: &str) -> bool {
    reason.starts_with("OutOf")
        || matches!(
            reason,
            "UnexpectedAdmissionError"
                | "TopologyAffinityError"
                | "SMTAlignmentError"
                | "NodeAffinity"
                | "NodeName"
                | "NodePorts"
                | "TaintToleration"
                | "InvalidNodeInfo"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_kubelet_says_of_a_pod_is_quoted() {
        let table = [
            (
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 9000, used: 600, capacity: 2000",
                FailureClass::Lost,
                "did not take the pod that was bound to it (OutOfcpu): Node didn't have enough resource: cpu, requested: 9000",
            ),
            (
                "UnexpectedAdmissionError",
                "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected",
                FailureClass::Lost,
                "(UnexpectedAdmissionError): Allocate failed due to no healthy devices present",
            ),
            ("OutOfpods", "", FailureClass::Lost, "(OutOfpods)"),
            ("NodeAffinity", "Predicate NodeAffinity failed", FailureClass::Lost, "did not take"),
            ("TopologyAffinityError", "Resources cannot be allocated", FailureClass::Lost, "did not take"),
            (
                "Preempting",
                "Preempted in order to admit critical pod",
                FailureClass::Preempted,
                "another pod (Preempting): Preempted in",
            ),
            (
                "Terminated",
                "Pod was terminated in response to imminent node shutdown.",
                FailureClass::Preempted,
                "shuts down",
            ),
            (
                "NodeShutdown",
                "Pod was rejected as the node is shutting down.",
                FailureClass::Preempted,
                "shuts down",
            ),
            (
                "SysctlForbidden",
                "forbidden sysctl: \"x\" not allowlisted",
                FailureClass::Unschedulable,
                "change the pod template (SysctlForbidden): forbidden",
            ),
            ("SomethingNew", "why", FailureClass::Lost, "its node ended the pod (SomethingNew): why"),
        ];
        for (reason, message, class, words) in table {
            let status = |phase: &str| -> PodStatus {
                serde_json::from_value(json!({"phase": phase, "reason": reason, "message": message})).unwrap()
            };
            let death = rejected(&status("Failed")).unwrap();
            assert!(death.class == class && death.reason.contains(words), "{death:?}");
            assert_eq!(rejected(&status("Running")), None, "{reason}");
        }
        let silent: PodStatus = serde_json::from_value(json!({"phase": "Failed"})).unwrap();
        assert_eq!(rejected(&silent), None);
    }
}
