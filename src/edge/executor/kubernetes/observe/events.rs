//! What only an event says: why a Job gets no pod, what a pod lacks.

use super::status::short;
use super::waiting::{ADVICE, is_own};
use super::{Death, Waiting};
use tidegate_flow::job::FailureClass;

/// What of a pod only an event says: a volume that cannot be mounted, no network. `None`: it may pass by itself.
pub(in super::super) fn not_set_up(reason: &str, said: &str) -> Option<Waiting> {
    // A kubelet that has not heard of a Secret or config map yet tries again, and then it has.
    let passes = said.contains("failed to sync") && said.contains("timed out");
    if reason == "FailedCreatePodSandBox" {
        let advice = "look at the node's network plugin (are addresses left?) and at its container runtime";
        let said = short(said.trim_start_matches("Failed to create pod sandbox: "));
        return Some(Waiting::Sandbox(format!(
            "its node cannot make the sandbox of its pod: {said}; {advice}"
        )));
    }
    if !matches!(reason, "FailedMount" | "FailedAttachVolume") || is_own(said) || passes {
        return None;
    }
    let said = short(said);
    Some(Waiting::SetUp(format!("a volume of its pod cannot be mounted: {said}; {ADVICE}")))
}

/// What an event of a Job means that gets no pod: it waits, or there will never be one.
pub(in super::super) fn not_made(said: &str) -> Result<Waiting, Death> {
    let said = said.split_once("forbidden: ").map_or(said, |(_, why)| why);
    let said = short(said.trim_start_matches("Error creating: "));
    let never = |reason: String| Err(Death { class: FailureClass::Unschedulable, exit: None, reason });
    if said.contains("violates PodSecurity") {
        return never(format!(
            "the namespace's Pod Security level does not allow its pod: {said}; say `restricted: {{ run-as: 1000 }}` \
             in the policy, the ConfigMap `tidegate-policy` of the namespace, or run it in another namespace"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_cannot_be_mounted() {
        let said = "MountVolume.SetUp failed for volume \"x\" : configmap \"nope\" not found";
        assert!(
            matches!(not_set_up("FailedMount", said), Some(Waiting::SetUp(words)) if words.contains("nope"))
        );
        assert_eq!(not_set_up("FailedMount", "secret \"tg-01j-a-0-1\" not found"), None);
        assert_eq!(not_set_up("BackOff", said), None);
        let full =
            "Failed to create pod sandbox: plugin type=\"calico\" failed (add): no addresses available";
        assert!(
            matches!(not_set_up("FailedCreatePodSandBox", full), Some(Waiting::Sandbox(words)) if words.contains("no addresses"))
        );
        let said = "MountVolume.SetUp failed for volume \"x\" : failed to sync configmap cache: timed out waiting for the \
                    condition";
        assert_eq!(not_set_up("FailedMount", said), None);
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
                r#"Error creating: pods "t" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
                "say `restricted: { run-as: 1000 }` in the policy, the ConfigMap `tidegate-policy`",
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
}
