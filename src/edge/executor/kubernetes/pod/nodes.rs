//! `nodes: N`: pods of one indexed Job that find each other by name.

use super::PodSettings;
use super::names::{job_name, labels};
use serde_json::{Value as Json, json};
use tidegate_flow::job::{JobSpec, ResourceRequest};

/// Where a pod finds its index (Kubernetes, "Indexed Job").
pub(super) const INDEX: &str = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
/// Where rank 0 listens (torchrun's default).
const MASTER_PORT: u16 = 29500;

/// The variables that `torch.distributed` and torchrun read.
pub(super) fn env(spec: &JobSpec, asked: &ResourceRequest) -> Vec<Json> {
    let name = job_name(spec);
    let rank = json!({ "fieldRef": { "fieldPath": INDEX } });
    let fixed = [
        ("MASTER_ADDR", format!("{name}-0.{name}")),
        ("MASTER_PORT", MASTER_PORT.to_string()),
        ("NNODES", spec.pod.nodes.to_string()),
        ("NPROC_PER_NODE", asked.gpus.max(1).to_string()),
    ];
    let mut env = vec![
        json!({ "name": "NODE_RANK", "valueFrom": rank }),
        json!({ "name": "PET_NODE_RANK", "valueFrom": rank }),
    ];
    for (variable, value) in fixed {
        env.push(json!({ "name": variable, "value": value }));
        env.push(json!({ "name": format!("PET_{variable}"), "value": value }));
    }
    env
}

/// The headless Service that gives the pods their names, before they are ready, too. `owner` is the
/// UID of the Job.
pub fn service_manifest(spec: &JobSpec, settings: &PodSettings, owner: &str) -> Json {
    let name = job_name(spec);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name, "namespace": settings.namespace, "labels": labels(spec, settings),
            "ownerReferences": [
                { "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner, "controller": false, "blockOwnerDeletion": false }
            ],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": { "batch.kubernetes.io/job-name": name },
        },
    })
}
