//! What Kueue says of a Job in its Workload: why it waits, why its place was taken away.

use super::status::short;
use serde_json::Value as Json;

/// What a Workload says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Queued {
    /// Why it has no place yet.
    pub(in super::super) waits: Option<String>,
    /// Why it has none any more.
    pub(in super::super) evicted: Option<String>,
}

/// Reads a Workload (Kueue, "Workload": conditions, admission checks).
pub(in super::super) fn queued(workload: &Json) -> Queued {
    let conditions = workload["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let message = |kind: &str, status: &str| {
        let found = conditions.iter().find(|c| c["type"] == kind && c["status"] == status)?;
        Some(short(found["message"].as_str().unwrap_or_default())).filter(|said| !said.is_empty())
    };
    let evicted = message("Preempted", "True").or_else(|| message("Evicted", "True"));
    let waits = if workload["spec"]["active"] == false {
        Some("its Workload was deactivated, and waits until somebody activates it".to_owned())
    } else if let Some(said) = message("QuotaReserved", "False") {
        Some(of_quota(&said))
    } else if message("QuotaReserved", "True").is_some() && message("Admitted", "True").is_none() {
        Some(of_checks(workload))
    } else {
        None
    };
    Queued { waits, evicted: evicted.map(|said| of_eviction(&said)) }
}

/// Kueue's words without what only it knows of: pod sets.
fn of_quota(said: &str) -> String {
    let said = said.trim_start_matches("couldn't assign flavors to pod set main: ");
    if said.contains("> maximum capacity") || said.contains("unavailable in ClusterQueue") {
        return format!("it asks for what the queue never has: {said}");
    }
    said.to_owned()
}

fn of_checks(workload: &Json) -> String {
    let checks = workload["status"]["admissionChecks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let open = checks.iter().filter(|check| check["state"] != "Ready").map(|check| {
        let (name, said) = (check["name"].as_str().unwrap_or_default(), check["message"].as_str());
        said.filter(|said| !said.is_empty())
            .map_or_else(|| format!("`{name}`"), |said| format!("`{name}` ({})", short(said)))
    });
    let open: Vec<String> = open.collect();
    format!("it has its quota, and waits for the admission check {}", open.join(", "))
}

/// The same of one that lost its place: without the identifiers and paths of who has it now.
fn of_eviction(said: &str) -> String {
    let said = said.split(';').next().unwrap_or_default();
    match (said.split_once(" (UID: "), said.rsplit_once(") ")) {
        (Some((before, _)), Some((_, after))) => format!("{before} {after}"),
        (Some((before, _)), None) => before.to_owned(),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(kind: &str, status: &str, message: &str) -> Queued {
        let condition = json!({"type": kind, "status": status, "reason": "r", "message": message});
        queued(&json!({"status": {"conditions": [condition]}}))
    }

    #[test]
    fn why_it_waits() {
        let table = [
            (
                "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor any, 442m more needed",
                "insufficient unused quota for cpu in flavor any, 442m more needed",
            ),
            (
                "couldn't assign flavors to pod set main: resource nvidia.com/gpu unavailable in ClusterQueue",
                "it asks for what the queue never has: resource nvidia.com/gpu unavailable in ClusterQueue",
            ),
            ("LocalQueue missing doesn't exist", "LocalQueue missing doesn't exist"),
        ];
        for (message, words) in table {
            assert_eq!(said("QuotaReserved", "False", message).waits.as_deref(), Some(words));
        }
        assert_eq!(queued(&json!({})), Queued::default(), "Kueue has not looked at it yet");
        let checks = json!({"status": {
            "conditions": [{"type": "QuotaReserved", "status": "True", "message": "Quota reserved"}],
            "admissionChecks": [{"name": "nodes", "state": "Pending", "message": "no node yet"}, {"name": "b", "state": "Ready"}],
        }});
        let waits = queued(&checks).waits.unwrap();
        assert!(waits.ends_with("admission check `nodes` (no node yet)"), "{waits}");
        let off = queued(&json!({"spec": {"active": false}})).waits.unwrap();
        assert!(off.contains("deactivated"), "{off}");
    }

    #[test]
    fn why_it_was_sent_away() {
        let message = "Preempted to accommodate a workload (UID: 1, JobUID: 2) due to prioritization in the ClusterQueue; \
                       preemptor path: /a; preemptee path: /a";
        let words = "Preempted to accommodate a workload due to prioritization in the ClusterQueue";
        assert_eq!(said("Preempted", "True", message).evicted.as_deref(), Some(words));
        let stopped = said("Evicted", "True", "The ClusterQueue is stopped");
        assert_eq!(stopped.evicted.as_deref(), Some("The ClusterQueue is stopped"));
    }
}
