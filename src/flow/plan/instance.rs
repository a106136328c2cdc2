//! What the engine evaluates for each instance: its job-level keys.

use super::evaluate::{boolean, get, number, optional, text, whole};
use super::{CacheFacts, Contexts, absent, cache, consume, display, measure, pod, volumes};
use crate::job::{CheckpointSpec, PythonSpec, ResourceRequest, RetrySpec};
use crate::run::{ConcurrencyGroup, InstanceSettings, ReadySettings};
use serde_json::Value as Json;
use tidegate_lang::expr::Template;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Concurrency, Container, Dialect, Job, Python, Resources, Retry, Workflow};

/// Seconds between SIGTERM and SIGKILL where the file does not say.
const GRACE_SECONDS: f64 = 10.0;

/// GitHub's default for `timeout-minutes` of a job.
const GITHUB_TIMEOUT_MINUTES: f64 = 360.0;

/// Evaluates the keys of one instance. `contexts` has `matrix` and `strategy` in it
/// (`instance_contexts`).
pub fn evaluate_instance(
    workflow: &Workflow,
    job: &Job,
    contexts: &Contexts,
    facts: &CacheFacts<'_>,
) -> InstanceSettings {
    if let Some(reason) = absent::blocking(workflow, job, facts.place) {
        return InstanceSettings::Failed { reason };
    }
    match ready(workflow, job, contexts, facts) {
        Ok(settings) => InstanceSettings::Ready(Box::new(settings)),
        Err(reason) => InstanceSettings::Failed { reason },
    }
}

/// The same without refusing what is not there yet, for `plan`.
pub(super) fn ready(
    workflow: &Workflow,
    job: &Job,
    contexts: &Contexts,
    facts: &CacheFacts<'_>,
) -> Result<ReadySettings, String> {
    let matrix = match contexts.get("matrix") {
        Some(Value::Object(matrix)) => Some(matrix.as_ref()),
        _ => None,
    };
    let checkpoint = checkpoint(job, contexts, facts)?;
    let absent = absent::notes(workflow, job, facts.place);
    let mut settings = ReadySettings {
        display: display::instance(job, contexts, matrix),
        continue_on_error: flag("continue-on-error", job.continue_on_error.as_deref(), contexts)?,
        timeout_seconds: timeout(workflow, job, contexts)?,
        retry: job
            .ml
            .retry
            .as_ref()
            .map_or_else(|| Ok(RetrySpec::default()), |given| retry(given, contexts))?,
        resources: job
            .ml
            .resources
            .as_ref()
            .map_or_else(|| Ok(ResourceRequest::default()), |r| resources(r, contexts))?,
        concurrency: job.concurrency.as_ref().map(|given| concurrency(given, contexts)).transpose()?,
        cache: None,
        consumes: consume::evaluate(job, contexts)?,
        grace_seconds: checkpoint.as_ref().map_or(GRACE_SECONDS, |c| c.grace_seconds),
        python: python(workflow, job, contexts)?,
        checkpoint,
        image: image(workflow, job, contexts)?,
        pod: crate::job::PodRequest::default(),
        environment: environment(job, contexts)?,
        runs_on: runs_on(job, contexts)?,
        notes: absent.clone(),
    };
    if facts.place != absent::Place::Machine {
        let mut more = Vec::new();
        settings.pod = pod::request(workflow, job, contexts, facts.place, &mut more)?;
        if facts.place == absent::Place::Pods {
            volumes::fit(&settings.resources, &settings.pod)?;
        }
        // What the file alone says is known already.
        settings.notes.extend(more.into_iter().filter(|note| !absent.contains(note)));
        // Steps run in an image, which brings its Python along.
        settings.python = None;
        if settings.image.is_none() && !facts.image.is_empty() {
            settings.image = Some(facts.image.to_owned());
        }
        if facts.place == absent::Place::Containers
            && settings.image.is_none()
            && !pod::names_all(job, &settings.pod)
        {
            return Err("it names no image: give the job a `container`, or `defaults.container` to the workflow, or `--image` to the run".to_owned());
        }
    }
    settings.cache = cache::key(workflow, job, &settings, contexts, facts)?;
    Ok(settings)
}

/// Evaluates a boolean that is false when absent.
fn flag(
    key: &str,
    given: Option<&tidegate_lang::workflow::Dynamic<bool>>,
    contexts: &Contexts,
) -> Result<bool, String> {
    given.map_or(Ok(false), |given| boolean(key, given, contexts))
}

/// Evaluates `timeout-minutes` to seconds.
fn timeout(workflow: &Workflow, job: &Job, contexts: &Contexts) -> Result<Option<f64>, String> {
    let minutes = match (&job.timeout_minutes, workflow.dialect) {
        (Some(given), _) => number("timeout-minutes", &given.value, contexts)?,
        (None, Dialect::Github) => GITHUB_TIMEOUT_MINUTES,
        (None, Dialect::Tidegate) => return Ok(None),
    };
    if minutes <= 0.0 {
        return Err(format!("`timeout-minutes` must be more than 0, not {minutes}"));
    }
    Ok(Some(minutes * 60.0))
}

/// Evaluates `concurrency`.
pub fn concurrency(given: &Concurrency, contexts: &Contexts) -> Result<ConcurrencyGroup, String> {
    let group = text("concurrency.group", &given.group, contexts)?;
    if group.trim().is_empty() {
        return Err("`concurrency.group` is empty".to_owned());
    }
    Ok(ConcurrencyGroup {
        group,
        cancel_in_progress: flag(
            "concurrency.cancel-in-progress",
            given.cancel_in_progress.as_ref(),
            contexts,
        )?,
        queue_all: given.queue.as_ref().is_some_and(|queue| queue.value == "max"),
    })
}

/// Evaluates `retry` of a job or a step.
pub(super) fn retry(given: &Retry, contexts: &Contexts) -> Result<RetrySpec, String> {
    let mut spec = RetrySpec::default();
    if let Some(attempts) = &given.attempts {
        spec.attempts = whole("retry.attempts", &attempts.value, 1, contexts)?;
    }
    if !given.on.is_empty() {
        spec.on = given.on.iter().map(|class| class.value.clone()).collect();
    }
    if let Some(infra) = &given.infra {
        spec.infra = whole("retry.infra", &infra.value, 0, contexts)?;
    }
    if let Some(backoff) = &given.backoff {
        let backoff = super::evaluate::tree("retry.backoff", backoff, contexts)?;
        spec.backoff_initial =
            measure::seconds("retry.backoff.initial", get(&backoff, "initial"), spec.backoff_initial)?;
        spec.backoff_max = measure::seconds("retry.backoff.max", get(&backoff, "max"), spec.backoff_max)?;
        spec.backoff_factor =
            measure::at_least("retry.backoff.factor", get(&backoff, "factor"), 1.0, spec.backoff_factor)?;
        spec.backoff_jitter =
            measure::share("retry.backoff.jitter", get(&backoff, "jitter"), spec.backoff_jitter)?;
    }
    if let Some(oom) = &given.oom {
        let oom = super::evaluate::tree("retry.oom", oom, contexts)?;
        spec.oom_memory_factor = measure::at_least(
            "retry.oom.memory-factor",
            get(&oom, "memory-factor"),
            1.0,
            spec.oom_memory_factor,
        )?;
        spec.oom_max_memory = measure::bytes("retry.oom.max-memory", get(&oom, "max-memory"))?;
    }
    Ok(spec)
}

/// Evaluates `resources`.
pub(super) fn resources(given: &Resources, contexts: &Contexts) -> Result<ResourceRequest, String> {
    let read = |key: &str, template: Option<&Template>| -> Result<Option<Value>, String> {
        Ok(optional(key, template, contexts)?.map(Value::from))
    };
    let mut request = ResourceRequest {
        cpu_millis: measure::millis("resources.cpu", read("resources.cpu", given.cpu.as_ref())?.as_ref())?,
        memory_bytes: measure::bytes(
            "resources.memory",
            read("resources.memory", given.memory.as_ref())?.as_ref(),
        )?,
        storage_bytes: measure::bytes(
            "resources.ephemeral-storage",
            read("resources.ephemeral-storage", given.ephemeral_storage.as_ref())?.as_ref(),
        )?,
        shm_bytes: measure::bytes("resources.shm", read("resources.shm", given.shm.as_ref())?.as_ref())?,
        gpus: 0,
        gpu: Json::Null,
    };
    if let Some(gpu) = &given.gpu {
        let gpu = super::evaluate::tree("resources.gpu", gpu, contexts)?;
        request.gpus = match &gpu {
            Value::Null => 0,
            Value::Object(fields) => match fields.get("count") {
                None => 1,
                Some(count) => measure::count("resources.gpu.count", count)?,
            },
            count => measure::count("resources.gpu", count)?,
        };
        request.gpu = Json::from(&gpu);
    }
    Ok(request)
}

/// Evaluates `python` of the job, or of the defaults nearest to it; a job that names an image of
/// its own does not inherit one.
fn python(workflow: &Workflow, job: &Job, contexts: &Contexts) -> Result<Option<PythonSpec>, String> {
    let inherited = job.defaults.python.as_deref().or(workflow.defaults.python.as_deref());
    let Some(Python { version, requirements, packages, .. }) = job.ml.python.as_deref().or(inherited) else {
        return Ok(None);
    };
    let mut listed = Vec::with_capacity(packages.len());
    for package in packages {
        match super::evaluate::value("python.packages", package, contexts)? {
            Value::Array(items) => listed.extend(items.iter().map(|item| item.to_text().to_string())),
            one => listed.push(one.to_text().to_string()),
        }
    }
    Ok(Some(PythonSpec {
        version: optional("python.version", version.as_ref(), contexts)?.unwrap_or_default(),
        requirements: optional("python.requirements", requirements.as_ref(), contexts)?.unwrap_or_default(),
        packages: listed,
    }))
}

/// Evaluates the image of the job's container, or of the defaults nearest to it.
fn image(workflow: &Workflow, job: &Job, contexts: &Contexts) -> Result<Option<String>, String> {
    pod::container(workflow, job).map_or(Ok(None), |given| image_of(given, "container", contexts))
}

/// Evaluates the image of a container.
pub(super) fn image_of(given: &Container, key: &str, contexts: &Contexts) -> Result<Option<String>, String> {
    if let Some(expression) = &given.expression {
        let image = match super::evaluate::value(key, expression, contexts)? {
            Value::Null => None,
            Value::Object(fields) => fields.get("image").map(|image| image.to_text().to_string()),
            other => Some(other.to_text().to_string()),
        };
        return Ok(image.filter(|image| !image.is_empty()));
    }
    optional(&format!("{key}.image"), given.image.as_ref(), contexts)
}

fn environment(job: &Job, contexts: &Contexts) -> Result<Option<String>, String> {
    match &job.environment {
        None => Ok(None),
        Some(environment) => optional("environment", Some(&environment.name), contexts),
    }
}

/// Evaluates the labels of `runs-on`.
fn runs_on(job: &Job, contexts: &Contexts) -> Result<Vec<String>, String> {
    let Some(given) = &job.runs_on else {
        return Ok(Vec::new());
    };
    let mut labels = Vec::with_capacity(given.labels.len());
    for label in &given.labels {
        match super::evaluate::value("runs-on", label, contexts)? {
            Value::Array(items) => labels.extend(items.iter().map(|item| item.to_text().to_string())),
            Value::Object(fields) => match fields.get("labels") {
                Some(Value::Array(items)) => {
                    labels.extend(items.iter().map(|item| item.to_text().to_string()));
                }
                Some(one) => labels.push(one.to_text().to_string()),
                None => {}
            },
            one => labels.push(one.to_text().to_string()),
        }
    }
    labels.retain(|label| !label.trim().is_empty());
    let named = !given.labels.is_empty();
    if labels.is_empty() && given.group.is_none() && named {
        return Err("`runs-on` gives no label".to_owned());
    }
    Ok(labels)
}

/// Evaluates `checkpoint`; its key is the same for all attempts and reruns of the instance.
fn checkpoint(
    job: &Job,
    contexts: &Contexts,
    facts: &CacheFacts<'_>,
) -> Result<Option<CheckpointSpec>, String> {
    let Some(given) = &job.ml.checkpoint else {
        return Ok(None);
    };
    let matrix = contexts.get("matrix").map_or(Json::Null, Json::from);
    let identity = serde_json::json!([facts.workflow, job.id.value, matrix]);
    let every = optional("checkpoint.every", given.every.as_ref(), contexts)?.map(Value::from);
    let grace = optional("checkpoint.grace", given.grace.as_ref(), contexts)?.map(Value::from);
    let volume = optional("checkpoint.volume", given.volume.as_ref(), contexts)?;
    Ok(Some(CheckpointSpec {
        path: text("checkpoint.path", &given.path, contexts)?,
        every_seconds: measure::seconds("checkpoint.every", every.as_ref(), 60.0)?,
        grace_seconds: measure::seconds("checkpoint.grace", grace.as_ref(), GRACE_SECONDS)?,
        key: blake3::hash(identity.to_string().as_bytes()).to_hex().to_string(),
        saved: None,
        volume: volume.unwrap_or_default(),
    }))
}
