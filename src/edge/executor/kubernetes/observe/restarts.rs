//! Services that end while steps run: kubelets start them again, and say so in a pod's status alone.
//!
//! Not here: one that ends before any step ran (`death`).

use super::status::{Owner, init_statuses, owner, statuses, steps_began};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use tidegate_flow::job::service_ended;

/// A service that has ended under the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ServiceEnd {
    /// Its name as a label.
    pub(in super::super) service: String,
    /// How often it has ended so far.
    pub(in super::super) times: u32,
    /// How it ended last: `ended with exit 7`.
    pub(in super::super) how: String,
}

/// Lists the services that ended while steps could run. What ends after the last step, or with a pod that is deleted, was
/// told to.
pub(in super::super) fn service_ends(pod: &Pod) -> Vec<ServiceEnd> {
    let last = statuses(pod).filter(|s| owner(&s.name) == Owner::Steps).last();
    let over = last.is_none_or(|last| last.state.as_ref().is_some_and(|s| s.terminated.is_some()));
    if over || pod.metadata.deletion_timestamp.is_some() || !steps_began(pod) {
        return Vec::new();
    }
    init_statuses(pod).filter_map(service_end).collect()
}

fn service_end(status: &ContainerStatus) -> Option<ServiceEnd> {
    let Owner::Service(service) = owner(&status.name) else { return None };
    let state = status.state.as_ref();
    let before = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    let now = state.and_then(|s| s.terminated.as_ref());
    // One that waits to be started again is not counted as a restart yet.
    let waits = before.is_some() && state.is_some_and(|s| s.waiting.is_some());
    let times = u32::try_from(status.restart_count).unwrap_or(0) + u32::from(now.is_some() || waits);
    let how = now.or(before).map_or_else(|| "ended".to_owned(), how);
    (times > 0).then(|| ServiceEnd { service: service.to_owned(), times, how })
}

fn how(ended: &ContainerStateTerminated) -> String {
    match ended.reason.as_deref() {
        Some("OOMKilled") => format!("was killed for memory (exit {})", ended.exit_code),
        _ => format!("ended with exit {}", ended.exit_code),
    }
}

impl ServiceEnd {
    /// That it ended, in one line; `node` where there are several.
    pub(in super::super) fn said(&self, node: Option<u32>) -> String {
        service_ended(&self.service, node, &self.how, self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn pod(service: &Json, steps: &Json, deleted: bool) -> Pod {
        let mut pod = json!({"metadata": {}, "status": {
            "initContainerStatuses": [service],
            "containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": steps}],
        }});
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_service_that_ends_under_the_steps_is_told_and_one_that_ends_with_them_is_not() {
        let ended = |exit: i32, reason: &str| json!({"terminated": {"exitCode": exit, "reason": reason}});
        let (runs, waits) = (json!({"running": {}}), json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let service = |restarts: u32, state: &Json, last: &Json| {
            json!({"name": "service-db", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
                "state": state, "lastState": last})
        };
        let (none, over) = (json!({}), ended(0, "Completed"));
        let died = ended(7, "Error");
        let not_yet = json!({"waiting": {"reason": "PodInitializing"}});
        let table = vec![
            (service(0, &runs, &none), &runs, false, None),
            (service(0, &died, &none), &runs, false, Some((1, "ended with exit 7"))),
            (service(1, &runs, &died), &runs, false, Some((1, "ended with exit 7"))),
            (service(1, &waits, &died), &runs, false, Some((2, "ended with exit 7"))),
            (
                service(3, &runs, &ended(137, "OOMKilled")),
                &runs,
                false,
                Some((3, "was killed for memory (exit 137)")),
            ),
            // Cleared away before its node said how.
            (service(1, &runs, &none), &runs, false, Some((1, "ended"))),
            (service(0, &waits, &none), &runs, false, None),
            (service(0, &ended(143, "Error"), &none), &over, false, None),
            (service(0, &ended(143, "Error"), &none), &runs, true, None),
            // Before the steps, `death` tells it.
            (service(1, &runs, &died), &not_yet, false, None),
        ];
        for (service, steps, deleted, wanted) in table {
            let found = service_ends(&pod(&service, steps, deleted));
            let found: Vec<_> = found.iter().map(|end| (end.times, end.how.as_str())).collect();
            assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{service} {steps}");
        }
    }
}
