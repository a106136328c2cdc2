//! A `JobSpec` as a `batch/v1` Job. Pure: names, ids and secrets come in as arguments.
//!
//! The agent is a native sidecar (Kubernetes, "Sidecar Containers"): an init container that always
//! restarts. Its start puts this program into a volume that the step container starts from, so the
//! image needs no shell and no libc. Not here: what becomes of the Job (`observe`).

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_flow::job::{JobSpec, ResourceRequest};

/// The group that owns everything agent and steps share.
const GROUP: u32 = 65532;
/// Seconds after which Kubernetes removes an ended Job that no engine removed: 7 days.
const TTL_SECONDS: u32 = 7 * 24 * 3600;
/// Seconds over its own time after which the cluster ends a Job: the agent should have done so.
const DEADLINE_SLACK_SECONDS: f64 = 24.0 * 3600.0;
/// Seconds that the agent has after the steps' grace to send what it has.
const LEAVE_SECONDS: f64 = 30.0;

/// What is the same for all pods of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSettings {
    /// The namespace.
    pub namespace: String,
    /// The store's id, a label of everything this engine makes.
    pub store: String,
    /// Tidegate's own image.
    pub agent_image: String,
    /// The image of jobs that name none; empty: such jobs fail.
    pub image: String,
    /// Address of the hub as pods see it.
    pub hub: String,
    /// Seconds after which an attempt ends that no engine looks after.
    pub orphan_after: u64,
}

/// Returns the name of an attempt's Job and Secret: at most 63 characters (DNS label, RFC 1123).
pub fn job_name(spec: &JobSpec) -> String {
    let slug: String = spec
        .job
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(18)
        .collect();
    let run = spec.run.to_ascii_lowercase();
    format!("tg-{run}-{}-{}-{}", slug.trim_matches('-'), instance_of(spec), spec.attempt)
}

/// The run's number of the instance, which is unique in the run; the token holds it.
fn instance_of(spec: &JobSpec) -> String {
    spec.token.split('.').nth(1).unwrap_or_default().to_owned()
}

fn labels(spec: &JobSpec, settings: &PodSettings) -> Json {
    json!({
        "app.kubernetes.io/managed-by": "tidegate",
        "tidegate.dev/store": settings.store,
        "tidegate.dev/run": spec.run.to_ascii_lowercase(),
        "tidegate.dev/job": label(&spec.job),
        "tidegate.dev/instance": instance_of(spec),
        "tidegate.dev/attempt": spec.attempt.to_string(),
    })
}

/// Text as a label's value (Kubernetes, "Labels and Selectors"): at most 63 of letters, digits, `-_.`.
fn label(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = text.chars().take(63).map(clean).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Returns the Secret of an attempt: what its agent alone may read. `owner` is the UID of its Job.
pub fn secret_manifest(
    spec: &JobSpec,
    settings: &PodSettings,
    owner: Option<&str>,
    files: &BTreeMap<String, String>,
) -> Json {
    let name = job_name(spec);
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": settings.namespace, "labels": labels(spec, settings) },
        "type": "Opaque",
        "immutable": true,
        "stringData": files,
    });
    if let Some(uid) = owner {
        set(
            &mut secret,
            &["metadata", "ownerReferences"],
            json!([
                { "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": false, "blockOwnerDeletion": false }
            ]),
        );
    }
    secret
}

/// Returns the Job of an attempt. `digest` is that of the spec as an object: a Job that is there
/// already is this attempt's only if store and digest agree.
pub fn job_manifest(spec: &JobSpec, settings: &PodSettings, digest: &str) -> Result<Json, GpuError> {
    let name = job_name(spec);
    let labels = labels(spec, settings);
    let annotations = json!({ "tidegate.dev/spec": digest, "tidegate.dev/attempt": spec.token });
    let gpu = gpu(&spec.resources)?;
    let image = spec.image.clone().unwrap_or_else(|| settings.image.clone());
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": seconds(spec.grace_seconds + LEAVE_SECONDS),
        "securityContext": { "fsGroup": GROUP, "seccompProfile": { "type": "RuntimeDefault" } },
        "volumes": volumes(&name, &spec.resources),
        "initContainers": [agent(spec, settings, digest)],
        "containers": [steps(spec, &image, gpu.as_ref())],
    });
    if let Some(gpu) = gpu {
        set(
            &mut pod,
            &["tolerations"],
            json!([
                { "key": gpu.resource, "operator": "Exists", "effect": "NoSchedule" }
            ]),
        );
        if !gpu.labels.is_empty() {
            let terms = json!([{ "matchExpressions": gpu.labels }]);
            let affinity = json!({ "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms }
            } });
            set(&mut pod, &["affinity"], affinity);
        }
    }
    let mut job = json!({
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        // Only rules that fail the Job: what is tried again is the engine's to decide. The index of the
        // rule that applied says what happened.
        "podFailurePolicy": { "rules": [
            { "action": "FailJob", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailJob", "onExitCodes": { "operator": "NotIn", "values": [0] } },
        ] },
        "template": { "metadata": { "labels": labels, "annotations": annotations }, "spec": pod },
    });
    if let Some(timeout) = spec.timeout_seconds {
        let deadline = seconds(timeout + spec.grace_seconds + DEADLINE_SLACK_SECONDS);
        set(&mut job, &["activeDeadlineSeconds"], json!(deadline));
    }
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name, "namespace": settings.namespace, "labels": labels, "annotations": annotations,
        },
        "spec": job,
    }))
}

fn agent(spec: &JobSpec, settings: &PodSettings, digest: &str) -> Json {
    json!({
        "name": "agent",
        "image": settings.agent_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["/tidegate", "agent", "--pod"],
        "env": [
            { "name": "TIDEGATE_HUB", "value": settings.hub },
            { "name": "TIDEGATE_ATTEMPT", "value": spec.token },
            { "name": "TIDEGATE_SPEC", "value": digest },
            { "name": "TIDEGATE_ORPHAN_AFTER", "value": settings.orphan_after.to_string() },
            { "name": "TIDEGATE_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } },
        ],
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
    })
}

fn steps(spec: &JobSpec, image: &str, gpu: Option<&Gpu>) -> Json {
    let asked = &spec.resources;
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
    json!({
        "name": "steps",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/run/tidegate/bin/tidegate", "shim", "--socket", "/run/tidegate/shared/io/steps.sock"],
        "resources": { "requests": requests, "limits": limits },
        "securityContext": { "allowPrivilegeEscalation": false },
        "volumeMounts": mounts,
    })
}

fn volumes(name: &str, asked: &ResourceRequest) -> Vec<Json> {
    let mut volumes = vec![
        json!({ "name": "bin", "emptyDir": {} }),
        json!({ "name": "shared", "emptyDir": {} }),
        json!({ "name": "own", "emptyDir": {} }),
        json!({ "name": "secret", "secret": { "secretName": name, "defaultMode": 288 } }),
    ];
    if asked.shm_bytes > 0 {
        let size = asked.shm_bytes.to_string();
        volumes.push(json!({ "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": size } }));
    }
    volumes
}

/// What a pod asks of the scheduler for its GPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// The extended resource.
    pub resource: String,
    /// How many.
    pub count: u32,
    /// Node labels, as `matchExpressions`.
    pub labels: Vec<Json>,
}

/// Why GPUs cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// A vendor without a known resource.
    #[error("resources.gpu.vendor: `{0}` is none of nvidia, amd, intel; `resource` names any other")]
    Vendor(String),
    /// Not an amount of memory.
    #[error("resources.gpu.memory: `{0}` is not an amount such as 40Gi")]
    Memory(String),
    /// Only one vendor's nodes say it.
    #[error("resources.gpu.{0}: only NVIDIA's node labels say it; use `pod-template` for others")]
    Label(&'static str),
}

/// Maps `resources.gpu` to a resource and node labels (NVIDIA, "GPU Feature Discovery"; AMD and Intel,
/// their device plugins' pages).
pub fn gpu(asked: &ResourceRequest) -> Result<Option<Gpu>, GpuError> {
    if asked.gpus == 0 {
        return Ok(None);
    }
    let text = |key: &str| asked.gpu.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
    let vendor = text("vendor").unwrap_or("nvidia").to_ascii_lowercase();
    let resource = match (text("resource"), text("mig"), vendor.as_str()) {
        (Some(resource), ..) => resource.to_owned(),
        (None, Some(mig), _) => format!("nvidia.com/mig-{mig}"),
        (None, None, "nvidia") => "nvidia.com/gpu".to_owned(),
        (None, None, "amd") => "amd.com/gpu".to_owned(),
        (None, None, "intel") => "gpu.intel.com/xe".to_owned(),
        _ => return Err(GpuError::Vendor(vendor)),
    };
    let mut labels = Vec::new();
    let products: Vec<&str> = match asked.gpu.get("product") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    if !products.is_empty() {
        if vendor != "nvidia" {
            return Err(GpuError::Label("product"));
        }
        labels.push(json!({ "key": "nvidia.com/gpu.product", "operator": "In", "values": products }));
    }
    if let Some(memory) = asked.gpu.get("memory").filter(|m| !m.is_null()) {
        if vendor != "nvidia" {
            return Err(GpuError::Label("memory"));
        }
        let mib = mebibytes(memory).ok_or_else(|| GpuError::Memory(memory.to_string()))?;
        // `Gt` is strict, and the label counts mebibytes.
        let above = mib.saturating_sub(1).to_string();
        labels.push(json!({ "key": "nvidia.com/gpu.memory", "operator": "Gt", "values": [above] }));
    }
    Ok(Some(Gpu { resource, count: asked.gpus, labels }))
}

/// An amount such as `40Gi`, `80GB` or bytes, in mebibytes.
fn mebibytes(amount: &Json) -> Option<u64> {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let bytes: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        _ => return None,
    };
    let mib = number.parse::<f64>().ok()? * bytes / (1024.0 * 1024.0);
    // The range was looked at, so nothing is cut off.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^40, whole")]
    (0.0..1e12).contains(&mib).then_some(mib as u64)
}

/// Seconds as Kubernetes takes them: whole, rounded up.
fn seconds(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped and whole")]
    let whole = seconds.ceil().clamp(0.0, 1e9) as u64;
    whole
}

/// Sets a member of an object, making the objects on the way.
fn set(object: &mut Json, path: &[&str], value: Json) {
    let mut at = object;
    for key in path {
        at = &mut at[*key];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PodSettings {
        PodSettings {
            namespace: "ml".into(),
            store: "01store".into(),
            agent_image: "tidegate:1".into(),
            image: String::new(),
            hub: "10.96.0.7:7433".into(),
            orphan_after: 86400,
        }
    }

    fn spec() -> JobSpec {
        JobSpec {
            run: "01JDX3Z9M7ABCDEFGHJKMNPQRS".into(),
            job: "Train_model".into(),
            token: "01JDX3Z9M7ABCDEFGHJKMNPQRS.12.2".into(),
            attempt: 2,
            grace_seconds: 10.0,
            timeout_seconds: Some(3600.0),
            image: Some("ghcr.io/acme/sklearn:1.5".into()),
            resources: ResourceRequest {
                cpu_millis: 4000,
                memory_bytes: 16 << 30,
                shm_bytes: 1 << 30,
                gpus: 2,
                gpu: json!({"count": 2, "product": ["A100", "H100"], "memory": "40Gi"}),
                ..ResourceRequest::default()
            },
            ..JobSpec::default()
        }
    }

    #[test]
    fn a_job_with_gpus() {
        let job = job_manifest(&spec(), &settings(), "d1gest").unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&job).unwrap());
    }

    #[test]
    fn a_secret_is_its_jobs() {
        let files = BTreeMap::from([("key".to_owned(), "k".to_owned())]);
        let secret = secret_manifest(&spec(), &settings(), Some("uid-1"), &files);
        insta::assert_snapshot!(serde_json::to_string_pretty(&secret).unwrap());
    }

    #[test]
    fn names_are_dns_labels_whatever_the_job_is_called() {
        for job in ["a", "A_very-long_name_of_a_job_that_goes_on_and_on", "_x_", "é"] {
            let name = job_name(&JobSpec { job: job.into(), attempt: 1000, ..spec() });
            assert!(
                name.len() <= 63 && !name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '-')),
                "{name}"
            );
        }
    }

    #[test]
    fn gpus_of_every_kind() {
        let asked = |gpu: Json| gpu_of(gpu).unwrap().unwrap();
        let gpu_resource = |gpu: Json| asked(gpu).resource;
        assert_eq!(gpu_resource(json!(1)), "nvidia.com/gpu");
        assert_eq!(gpu_resource(json!({"vendor": "AMD"})), "amd.com/gpu");
        assert_eq!(gpu_resource(json!({"mig": "1g.10gb"})), "nvidia.com/mig-1g.10gb");
        assert_eq!(gpu_resource(json!({"resource": "habana.ai/gaudi"})), "habana.ai/gaudi");
        assert_eq!(asked(json!({"memory": "80GB"})).labels[0]["values"], json!(["76292"]));
        assert_eq!(gpu_of(json!({"vendor": "acme"})), Err(GpuError::Vendor("acme".into())));
        assert_eq!(gpu_of(json!({"vendor": "amd", "product": "MI300X"})), Err(GpuError::Label("product")));
        assert_eq!(gpu_of(json!({"memory": "lots"})), Err(GpuError::Memory("\"lots\"".into())));
    }

    fn gpu_of(asked: Json) -> Result<Option<Gpu>, GpuError> {
        gpu(&ResourceRequest { gpus: 1, gpu: asked, ..ResourceRequest::default() })
    }
}
