//! What an instance asks of a cluster or of its containers: `pod-template nodes queue spot services`,
//! containers of steps.
//!
//! Not here: the keys of a service (`service`).

use super::absent::Place;
use super::evaluate::{get, optional, shown, text, whole};
use super::service::{ours, same_port, service, split};
use super::steps::action;
use super::volumes::{no_effect, no_folder};
use super::{Contexts, evaluate, instance};
use crate::job::{
    ContainerSpec, Credentials, PodRequest, ServiceSpec, Spot, StepPlace, no_place, pod_volume,
};
use tidegate_lang::expr::Template;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Container, Job, JobKind, Step, Workflow};

/// Evaluates what a job asks of where it runs. `notes` gets what has no effect there.
pub(super) fn request(
    workflow: &Workflow,
    job: &Job,
    contexts: &Contexts,
    place: Place,
    notes: &mut Vec<String>,
) -> Result<PodRequest, String> {
    let template = [&job.ml.pod_template, &job.defaults.pod_template, &workflow.defaults.pod_template];
    let template = template.into_iter().flatten().next();
    let nodes = match &job.ml.nodes {
        None => 0,
        // One node is a pod like any other.
        Some(given) => Some(whole("nodes", &given.value, 1, contexts)?).filter(|n| *n > 1).unwrap_or(0),
    };
    let container = container(workflow, job);
    let queue = job.ml.queue.as_deref();
    Ok(PodRequest {
        template: optional("pod-template", template, contexts)?,
        nodes,
        queue: optional("queue", queue.map(|queue| &queue.name), contexts)?,
        queue_priority: optional("queue.priority", queue.and_then(|q| q.priority.as_ref()), contexts)?,
        spot: job.ml.spot.as_ref().map(|given| spot(given, contexts)).transpose()?.flatten(),
        services: services(job, contexts, place, notes)?,
        steps: steps(job, contexts, place, notes)?,
        credentials: container.and_then(credentials),
        container: container
            .map(|given| options(given, "container", contexts, place, notes))
            .transpose()?
            .flatten(),
    })
}

/// Evaluates what a container says besides its image; `None` where that is nothing.
fn options(
    given: &Container,
    key: &str,
    contexts: &Contexts,
    place: Place,
    notes: &mut Vec<String>,
) -> Result<Option<ContainerSpec>, String> {
    let mut made = ContainerSpec { env: super::spec::env_layer(&given.env), ..ContainerSpec::default() };
    for volume in &given.volumes {
        let volume = text(&format!("{key}.volumes"), volume, contexts)?;
        if place == Place::Containers {
            made.volumes.push(volume);
            continue;
        }
        let Some(found) = pod_volume(&volume) else {
            return Err(format!("`{key}.volumes`: {}", no_folder(&volume)));
        };
        notes.extend(no_effect(&volume, found).map(|words| format!("`{key}.volumes`: {words}")));
        // One without a name would only hide what the image has there.
        if found.name.is_some() {
            if let Some(words) = no_place(&volume, &made.volumes) {
                return Err(format!("`{key}.volumes`: {words}"));
            }
            made.volumes.push(volume);
        }
    }
    if place == Place::Containers {
        let written = optional(&format!("{key}.options"), given.options.as_ref(), contexts)?;
        let refused;
        (refused, made.options) = ours(split(&written.unwrap_or_default()));
        if !refused.is_empty() {
            notes.push(format!("`{key}.options`: {} has no effect", refused.join(" ")));
        }
    }
    Ok(Some(made).filter(|made| *made != ContainerSpec::default()))
}

/// Tells whether each step that runs in a container has an image of its own, and there are some.
pub(super) fn names_all(job: &Job, request: &PodRequest) -> bool {
    let JobKind::Steps(steps) = &job.kind else { return true };
    let named = request.steps.iter().filter(|step| step.image.is_some()).count();
    named == steps.iter().filter(|step| !runs_beside(step)).count() && named > 0
}

/// Tells whether the agent does a step itself, beside the containers.
pub(super) fn runs_beside(step: &Step) -> bool {
    action(&step.action).is_some_and(|action| action.needs_no_container())
}

fn services(
    job: &Job,
    contexts: &Contexts,
    place: Place,
    notes: &mut Vec<String>,
) -> Result<Vec<ServiceSpec>, String> {
    let mut services: Vec<ServiceSpec> = Vec::new();
    for (name, given) in &job.services {
        let Some(made) = service(&name.value, given, contexts, place, notes)? else { continue };
        if let Some(words) = same_port(&services, &made) {
            return Err(format!("`services`: {words}"));
        }
        services.push(made);
    }
    Ok(services)
}

/// The container of the job, or of the defaults nearest to it.
pub(super) fn container<'a>(workflow: &'a Workflow, job: &'a Job) -> Option<&'a Container> {
    job.container.as_deref().or(job.defaults.container.as_deref()).or(workflow.defaults.container.as_deref())
}

pub(super) fn credentials(given: &Container) -> Option<Credentials> {
    let (username, password) = given.credentials.as_ref()?;
    Some(Credentials { username: username.raw.to_string(), password: password.raw.to_string() })
}

fn spot(given: &tidegate_lang::workflow::Tree, contexts: &Contexts) -> Result<Option<Spot>, String> {
    let value = evaluate::tree("spot", given, contexts)?;
    match &value {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(Spot::Only)),
        Value::Object(_) => match get(&value, "fallback") {
            Some(Value::String(text)) if &**text == "on-demand" => Ok(Some(Spot::Preferred)),
            None | Some(Value::Null) => Ok(Some(Spot::Only)),
            Some(other) => Err(format!("`spot.fallback` must be `on-demand`, not {}", shown(other))),
        },
        other => Err(format!("`spot` must be true or `{{fallback: on-demand}}`, not {}", shown(other))),
    }
}

/// Tells whether a template may give a secret.
pub(super) fn reads_secrets(template: &Template) -> bool {
    let mut reads = super::reads::Reads::default();
    reads.template(template);
    reads.reaches("secrets")
}

fn steps(
    job: &Job,
    contexts: &Contexts,
    place: Place,
    notes: &mut Vec<String>,
) -> Result<Vec<StepPlace>, String> {
    let JobKind::Steps(steps) = &job.kind else { return Ok(Vec::new()) };
    let mut places = Vec::new();
    for (index, step) in (0_u32..).zip(steps) {
        if step.container.is_none() && step.resources.is_none() || runs_beside(step) {
            continue;
        }
        let (mut image, mut container) = (None, None);
        if let Some(given) = step.container.as_deref() {
            image = instance::image_of(given, "steps.container", contexts)?;
            container = options(given, "steps.container", contexts, place, notes)?;
        }
        let resources = step.resources.as_deref().map(|r| instance::resources(r, contexts)).transpose()?;
        let credentials = step.container.as_deref().and_then(credentials);
        places.push(StepPlace { step: index, image, resources, container, credentials });
    }
    Ok(places)
}
