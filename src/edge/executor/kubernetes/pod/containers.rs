//! The containers of a pod: the agent, those of the steps, what they share.

use super::gpu::Gpu;
use super::{GROUP, PodSettings, volumes};
use crate::executor::inside::CLAIMED;
use serde_json::{Value as Json, json};
use tidegate_flow::job::{JobSpec, StepContainer};

/// The agent: a native sidecar whose start puts this program where the steps' containers find it.
pub(super) fn agent(spec: &JobSpec, settings: &PodSettings, digest: &str) -> Json {
    let mut env = vec![
        json!({ "name": "TIDEGATE_HUB", "value": settings.hub }),
        json!({ "name": "TIDEGATE_ATTEMPT", "value": spec.token }),
        json!({ "name": "TIDEGATE_SPEC", "value": digest }),
        json!({ "name": "TIDEGATE_ORPHAN_AFTER", "value": settings.orphan_after.to_string() }),
        json!({ "name": "TIDEGATE_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } }),
    ];
    if spec.pod.nodes > 0 {
        env.push(json!({ "name": "TIDEGATE_NODE", "valueFrom": { "fieldRef": { "fieldPath": super::nodes::INDEX } } }));
    }
    let mut made = json!({
        "name": "agent",
        "image": settings.agent_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["/tidegate", "agent", "--pod"],
        "env": env,
        // The step container starts once this has put the program there.
        "lifecycle": { "postStart": { "exec": { "command": ["/tidegate", "agent", "--install", "/run/tidegate/bin"] } } },
        "resources": { "requests": { "cpu": "20m", "memory": "32Mi" } },
        "securityContext": {
            "runAsUser": GROUP, "runAsGroup": GROUP, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "bin", "mountPath": "/run/tidegate/bin" },
            { "name": "shared", "mountPath": "/run/tidegate/shared" },
            { "name": "own", "mountPath": "/run/tidegate/own" },
            { "name": "secret", "mountPath": "/run/tidegate/secret", "readOnly": true },
        ],
    });
    mount_claim(&mut made, spec);
    made
}

/// The claim that holds the checkpoint, where the agent and the steps find it.
fn mount_claim(container: &mut Json, spec: &JobSpec) {
    if claim(spec).is_some()
        && let Some(mounts) = container["volumeMounts"].as_array_mut()
    {
        mounts.push(json!({ "name": "checkpoint", "mountPath": CLAIMED }));
    }
}

fn claim(spec: &JobSpec) -> Option<&str> {
    spec.checkpoint.as_ref().map(|c| c.volume.as_str()).filter(|name| !name.is_empty())
}

/// A container that runs steps. Each has a socket of its own, so that no shim is taken for another.
pub(super) fn steps(spec: &JobSpec, container: &StepContainer, image: &str, gpu: Option<&Gpu>) -> Json {
    let asked = &container.resources;
    let (mut requests, mut limits) = (serde_json::Map::new(), serde_json::Map::new());
    if asked.cpu_millis > 0 {
        requests.insert("cpu".into(), json!(format!("{}m", asked.cpu_millis)));
    }
    // Memory cannot be taken back: what is asked for is also the limit.
    for (name, bytes) in [("memory", asked.memory_bytes), ("ephemeral-storage", asked.storage_bytes)] {
        if bytes > 0 {
            requests.insert(name.into(), json!(bytes.to_string()));
            limits.insert(name.into(), json!(bytes.to_string()));
        }
    }
    if let Some(gpu) = gpu {
        limits.insert(gpu.resource.clone(), json!(gpu.count.to_string()));
    }
    let mut mounts = vec![
        json!({ "name": "bin", "mountPath": "/run/tidegate/bin", "readOnly": true }),
        json!({ "name": "shared", "mountPath": "/run/tidegate/shared" }),
    ];
    if asked.shm_bytes > 0 {
        mounts.push(json!({ "name": "shm", "mountPath": "/dev/shm" }));
    }
    let written = container.container.as_ref().map(|own| own.volumes.as_slice()).unwrap_or_default();
    mounts.extend(volumes::mounts(spec, &container.name, written));
    let socket = format!("/run/tidegate/shared/io/{}.sock", container.name);
    let mut made = json!({
        "name": container.name,
        "image": image,
        "command": ["/run/tidegate/bin/tidegate", "shim", "--socket", socket],
        "resources": { "requests": requests, "limits": limits },
        "securityContext": { "allowPrivilegeEscalation": false },
        "volumeMounts": mounts,
    });
    mount_claim(&mut made, spec);
    if spec.pod.nodes > 0 {
        made["env"] = Json::Array(super::nodes::env(spec, asked));
    }
    made
}

/// What the containers share. `shm_bytes` is the most that one of them asks for.
pub(super) fn volumes(spec: &JobSpec, name: &str, shm_bytes: u64) -> Vec<Json> {
    let mut volumes = vec![
        json!({ "name": "bin", "emptyDir": {} }),
        json!({ "name": "shared", "emptyDir": {} }),
        json!({ "name": "own", "emptyDir": {} }),
        json!({ "name": "secret", "secret": { "secretName": name, "defaultMode": 288 } }),
    ];
    if shm_bytes > 0 {
        let size = shm_bytes.to_string();
        volumes.push(json!({ "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": size } }));
    }
    if let Some(claim) = claim(spec) {
        volumes.push(json!({ "name": "checkpoint", "persistentVolumeClaim": { "claimName": claim } }));
    }
    volumes
}
