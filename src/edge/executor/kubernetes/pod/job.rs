//! The Job of an attempt, put together.
//!
//! The agent is a native sidecar (Kubernetes, "Sidecar Containers"): an init container that always
//! restarts. Its start puts this program into a volume that the containers of the steps start from, so
//! their images need no shell and no libc. Containers before the last are init containers, so that the
//! scheduler sees the most that one of them asks for. Not here: what becomes of the Job (`observe`).

use super::finding::{Findings, finding, written};
use super::gpu::{GpuError, gpu};
use super::names::{identity, job_name, labels, pull_secret_name};
use super::own::Own;
use super::policy::Policy;
use super::scheduling::{self, SpotNodes};
use super::template::{self, Rendered, Template};
use super::{GROUP, containers, overlay, services, volumes};
use serde_json::{Value as Json, json};
use tidegate_flow::job::{JobSpec, step_containers};
use tidegate_lang::source::{Diagnostic, Style};

/// Seconds after which Kubernetes removes an ended Job that no engine removed: 7 days.
const TTL_SECONDS: u32 = 7 * 24 * 3600;
/// Seconds over its own time on a node after which the cluster ends a pod: the agent should have done so.
const DEADLINE_SLACK_SECONDS: f64 = 24.0 * 3600.0;
/// Seconds that the agent has after the steps' grace to send what it has.
const LEAVE_SECONDS: f64 = 30.0;

/// What is the same for all pods of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What pods may ask for.
    pub policy: Policy,
    /// How the cluster marks its spot nodes.
    pub spot: SpotNodes,
    /// Secrets of the namespace that images are pulled with.
    pub pull_secrets: Vec<String>,
}

/// Why no pod can be made of a job.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManifestError {
    /// GPUs that cannot be asked for.
    #[error("{0}")]
    Gpu(#[from] GpuError),
    /// The template is wrong, does not fit a pod, or asks for what the policy does not allow.
    #[error("{0}")]
    Template(Box<Findings>),
    /// The policy does not allow what the job itself asks for.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// A container without an image.
    #[error("it names no image: give the job a `container`, or `defaults.container` to the workflow")]
    Image,
}

impl ManifestError {
    /// Returns it in one line and, of a template, under it the places.
    pub fn with_places(&self) -> String {
        match self {
            Self::Template(findings) => format!("{self}\n{}", findings.shown(Style::default()).trim_end()),
            _ => self.to_string(),
        }
    }
}

/// Returns the Job of an attempt. `digest` is that of the spec as an object: a Job that is there
/// already is this attempt's only if store and digest agree. `template` is what `pod-template` names.
pub fn job_manifest(
    spec: &JobSpec,
    settings: &PodSettings,
    digest: &str,
    template: Option<Template<'_>>,
) -> Result<Json, ManifestError> {
    let name = job_name(spec);
    let labels = labels(spec, settings);
    let annotations =
        json!({ "tidegate.dev/spec": identity(spec, digest), "tidegate.dev/attempt": spec.token });
    let metadata = json!({ "labels": labels, "annotations": annotations });
    let mut pod = json!({ "metadata": metadata, "spec": pod(spec, settings, digest)? });
    let rendered = template
        .map(|template| template::render(template, &context(spec, settings)))
        .transpose()
        .map_err(|findings| ManifestError::Template(Box::new(findings)))?;
    if let Some(rendered) = &rendered {
        overlay::lay_over(&mut pod, rendered).map_err(|f| ManifestError::Template(Box::new(f)))?;
    }
    settings.policy.demand(&mut pod["spec"]);
    judge(&pod, settings, &Own::of(spec), rendered)?;
    let mut job = json!({
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        // Only rules that fail the Job: what is tried again is the engine's to decide. The index of the
        // rule that applied says what happened, also when the pod is gone (`observe::seen`).
        "podFailurePolicy": { "rules": [
            { "action": "FailJob", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailJob", "onExitCodes": { "operator": "NotIn", "values": [0] } },
        ] },
        "template": pod,
    });
    if spec.pod.nodes > 0 {
        job["completionMode"] = json!("Indexed");
        job["completions"] = json!(spec.pod.nodes);
        job["parallelism"] = json!(spec.pod.nodes);
    }
    let mut labels = labels;
    if let Some(queue) = &spec.pod.queue {
        // Kueue lets it start when the queue has room (Kueue, "Run Kubernetes Jobs").
        labels["kueue.x-k8s.io/queue-name"] = json!(queue);
        if let Some(priority) = &spec.pod.queue_priority {
            labels["kueue.x-k8s.io/priority-class"] = json!(priority);
        }
        job["suspend"] = json!(true);
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

/// The pod before a template and the policy have changed it.
fn pod(spec: &JobSpec, settings: &PodSettings, digest: &str) -> Result<Json, ManifestError> {
    let name = job_name(spec);
    let parts = step_containers(spec);
    let (mut gpus, mut steps) = (Vec::new(), Vec::with_capacity(parts.len()));
    for part in &parts {
        let gpu = gpu(&part.resources)?;
        let mut image = part.image.clone().unwrap_or_else(|| settings.image.clone());
        if image.is_empty() && spec.steps.iter().all(|step| step.action.needs_no_container()) {
            // Nothing runs there but the shim.
            image.clone_from(&settings.agent_image);
        }
        if image.is_empty() {
            return Err(ManifestError::Image);
        }
        steps.push(containers::steps(spec, part, &image, gpu.as_ref()));
        gpus.extend(gpu);
    }
    let last = steps.pop();
    let mut init = vec![containers::agent(spec, settings, digest)];
    init.append(&mut services::containers(spec, &name));
    init.append(&mut steps);
    let shm = parts.iter().map(|part| part.resources.shm_bytes).max().unwrap_or_default();
    let mut folders = containers::volumes(spec, &name, shm);
    folders.extend(volumes::volumes(spec));
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": seconds(spec.grace_seconds + LEAVE_SECONDS),
        "securityContext": { "fsGroup": GROUP, "seccompProfile": { "type": "RuntimeDefault" } },
        "volumes": folders,
        "initContainers": init,
        "containers": last.into_iter().collect::<Vec<_>>(),
    });
    if !spec.pod.services.is_empty() {
        pod["hostAliases"] = services::aliases(&spec.pod.services);
    }
    if spec.pod.nodes > 0 {
        pod["subdomain"] = json!(name);
    }
    // That of the Job would count while it waits for a node; a pod's counts from its node's word
    // (Kubernetes, `PodSpec.activeDeadlineSeconds`). One of several pods waits on its node for the others.
    if let Some(timeout) = spec.timeout_seconds.filter(|_| spec.pod.nodes == 0) {
        pod["activeDeadlineSeconds"] = json!(seconds(timeout + spec.grace_seconds + DEADLINE_SLACK_SECONDS));
    }
    let mut pulls: Vec<Json> = settings.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    if has_credentials(spec) {
        pulls.push(json!({ "name": pull_secret_name(spec) }));
    }
    if !pulls.is_empty() {
        pod["imagePullSecrets"] = Json::Array(pulls);
    }
    scheduling::schedule(&mut pod, &gpus, spec.pod.spot, &settings.spot);
    Ok(pod)
}

/// Tells whether the job brings credentials for its images.
pub fn has_credentials(spec: &JobSpec) -> bool {
    let (steps, services) = (spec.pod.steps.iter(), spec.pod.services.iter());
    let theirs = steps.map(|s| &s.credentials).chain(services.map(|s| &s.credentials));
    spec.pod.credentials.is_some() || theirs.flatten().next().is_some()
}

/// What a template may read.
fn context(spec: &JobSpec, settings: &PodSettings) -> Json {
    let gpu = gpu(&spec.resources).ok().flatten();
    let image = spec.image.clone().unwrap_or_else(|| settings.image.clone());
    json!({
        "job": {
            "id": spec.job, "name": spec.display, "index": spec.instance, "attempt": spec.attempt,
            "image": image, "nodes": spec.pod.nodes.max(1), "queue": spec.pod.queue, "spot": spec.pod.spot.is_some(),
        },
        "step": { "container": "steps", "image": image },
        "matrix": spec.contexts.get("matrix").filter(|m| m.is_object()).cloned().unwrap_or_else(|| json!({})),
        "gpu": {
            "count": gpu.as_ref().map_or(0, |g| g.count),
            "resource": gpu.as_ref().map(|g| g.resource.clone()).unwrap_or_default(),
            "product": spec.resources.gpu.get("product").filter(|p| p.is_string()),
        },
        "run": { "id": spec.run, "number": spec.run_number },
    })
}

/// Asks the policy for the whole pod; what a template asked for is shown there.
fn judge(
    pod: &Json,
    settings: &PodSettings,
    own: &Own,
    rendered: Option<Rendered>,
) -> Result<(), ManifestError> {
    let refused = settings.policy.judge(&pod["spec"], own);
    if refused.is_empty() {
        return Ok(());
    }
    let Some(Rendered { sources, root, .. }) = rendered else {
        let words = refused.into_iter().map(|(at, words)| format!("{}: {words}", written(&at)));
        return Err(ManifestError::Refused(words.collect()));
    };
    let mut findings: Vec<Diagnostic> = refused
        .into_iter()
        .map(|(at, words)| {
            let span = overlay::place_of(&root, &at);
            finding(span, format!("{}: {words}", written(&overlay::as_written(&at))))
                .help("the owner of the cluster can allow it: `tidegate run --policy FILE`, or the ConfigMap `tidegate-policy`")
        })
        .collect();
    findings.dedup();
    Err(ManifestError::Template(Box::new(Findings { sources, findings })))
}

/// Seconds as Kubernetes takes them: whole, rounded up.
pub(super) fn seconds(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped and whole")]
    let whole = seconds.ceil().clamp(0.0, 1e9) as u64;
    whole
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::service_manifest;
    use super::*;
    use tidegate_flow::job::{Health, PodRequest, ResourceRequest, ServiceSpec, Spot, StepPlace};

    pub(in super::super) fn settings() -> PodSettings {
        PodSettings {
            namespace: "ml".into(),
            store: "01store".into(),
            agent_image: "tidegate:1".into(),
            image: String::new(),
            hub: "10.96.0.7:7433".into(),
            orphan_after: 86400,
            ..PodSettings::default()
        }
    }

    pub(in super::super) fn spec() -> JobSpec {
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
        let job = job_manifest(&spec(), &settings(), "d1gest", None).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&job).unwrap());
    }

    pub(in super::super) fn with(pod: PodRequest, steps: usize) -> JobSpec {
        let steps = vec![tidegate_flow::job::StepSpec::default(); steps];
        JobSpec { pod, steps, resources: ResourceRequest::default(), timeout_seconds: None, ..spec() }
    }

    #[test]
    fn a_job_with_services_and_containers_of_steps() {
        let health =
            Health { command: "pg_isready".into(), interval_seconds: 10.0, retries: 5, ..Health::default() };
        let service = ServiceSpec {
            name: "db-main".into(),
            image: "postgres:16".into(),
            env: vec![("USER".into(), "me".into()), ("PASSWORD".into(), "${{ secrets.PW }}".into())],
            secret: vec!["PASSWORD".into()],
            ports: vec![5432],
            volumes: vec!["/var/lib/data".into()],
            health: Some(health),
            command: vec!["-c".into(), "fsync=off".into()],
            ..ServiceSpec::default()
        };
        let own = StepPlace { step: 1, image: Some("curl:1".into()), ..StepPlace::default() };
        let gpu = ResourceRequest { gpus: 1, shm_bytes: 1 << 20, ..ResourceRequest::default() };
        let last = StepPlace { step: 2, resources: Some(gpu), ..StepPlace::default() };
        let request = PodRequest { services: vec![service], steps: vec![own, last], ..PodRequest::default() };
        let job = job_manifest(&with(request, 3), &settings(), "d1gest", None).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&job["spec"]["template"]["spec"]).unwrap());
    }

    #[test]
    fn the_time_of_a_pod_counts_on_its_node() {
        let job = |nodes| {
            let request = PodRequest { nodes, ..PodRequest::default() };
            let timed = JobSpec { timeout_seconds: Some(60.0), ..with(request, 1) };
            job_manifest(&timed, &settings(), "d", None).unwrap()
        };
        for nodes in [0, 2] {
            let made = job(nodes);
            assert!(made["spec"]["activeDeadlineSeconds"].is_null(), "a Job's counts while it waits");
            let pod = made.pointer("/spec/template/spec/activeDeadlineSeconds").and_then(Json::as_u64);
            assert_eq!(pod, (nodes == 0).then_some(60 + 10 + 24 * 3600));
        }
    }

    #[test]
    fn a_job_of_several_spot_nodes_in_a_queue() {
        let request = PodRequest {
            nodes: 4,
            queue: Some("research".into()),
            queue_priority: Some("high".into()),
            spot: Some(Spot::Only),
            ..PodRequest::default()
        };
        let mut made = with(request, 1);
        made.resources = spec().resources;
        let job = job_manifest(&made, &settings(), "d1gest", None).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&job).unwrap());
        let service = service_manifest(&made, &settings(), "uid-1");
        insta::assert_snapshot!(serde_json::to_string_pretty(&service).unwrap());
        made.pod.spot = Some(Spot::Preferred);
        let job = job_manifest(&made, &settings(), "d1gest", None).unwrap();
        let affinity = &job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"];
        assert_eq!(affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array().unwrap().len(), 4);
        assert_eq!(
            affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_template_is_laid_over_and_judged() {
        let text = "\
spec:
  tolerations: [{ key: dedicated, operator: Equal, value: '{{ matrix.pool }}' }]
  volumes: [{ name: data, hostPath: { path: '/mnt/{{ matrix.pool }}' } }]
  containers:
    - name: steps
      volumeMounts: [{ name: data, mountPath: /data, readOnly: '{{ gpu.count > 1 }}' }]
";
        let template = Some(Template { path: ".ml/gpu.yaml", text });
        let mut spec = spec();
        spec.contexts.insert("matrix".into(), json!({"pool": "a"}));
        let refused = job_manifest(&spec, &settings(), "d", template).unwrap_err();
        let ManifestError::Template(findings) = &refused else { panic!("{refused}") };
        insta::assert_snapshot!(findings.shown(Style::default()));
        let policy = Policy::read("allow: { host-path: [/mnt/a] }").unwrap();
        let settings = PodSettings { policy, ..settings() };
        let job = job_manifest(&spec, &settings, "d", template).unwrap();
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["tolerations"].as_array().unwrap().len(), 2);
        assert_eq!(pod["tolerations"][1]["value"], "a");
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        assert_eq!(mounts.last().unwrap(), &json!({"name": "data", "mountPath": "/data", "readOnly": true}));
    }
}
