//! What of an attempt is secret and known to the executor alone: filled in just before it is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_flow::job::{Credentials, JobSpec};
use tidegate_flow::plan::Contexts;
use tidegate_lang::expr::{AnyNames, Template};
use tidegate_lang::source::Span;
use tidegate_lang::value::{Object, Value};

/// Where Docker Hub is, as kubelets and docker look for it.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Who may pull an image.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Its repository: another one of the same registry may have other credentials.
    pub(super) repository: String,
    /// `username`.
    pub(super) username: String,
    /// `password`.
    pub(super) password: String,
}

/// The credentials of all images of an attempt. Of two for one repository the first counts.
pub(super) fn logins(spec: &JobSpec, secrets: &BTreeMap<String, String>) -> Result<Vec<Login>, String> {
    let contexts = contexts(spec, secrets);
    let own = spec.image.as_deref().zip(spec.pod.credentials.as_ref());
    let services = spec.pod.services.iter().filter_map(|s| Some((s.image.as_str(), s.credentials.as_ref()?)));
    let steps = spec.pod.steps.iter().filter_map(|s| Some((s.image.as_deref()?, s.credentials.as_ref()?)));
    own.into_iter()
        .chain(steps)
        .chain(services)
        .map(|(image, Credentials { username, password })| {
            let wrong = |e| format!("credentials of {image}: {e}");
            Ok(Login {
                repository: repository(image),
                username: text(username, &contexts).map_err(wrong)?,
                password: text(password, &contexts).map_err(wrong)?,
            })
        })
        .collect()
}

/// The contexts of an attempt with its secrets.
pub(super) fn contexts(spec: &JobSpec, secrets: &BTreeMap<String, String>) -> Contexts {
    let mut values = Object::default();
    for (name, value) in secrets {
        values.insert(name.as_str(), Value::from(value.as_str()));
    }
    Contexts::from_json(&spec.contexts).with("secrets", Value::object(values))
}

/// Evaluates a template.
pub(super) fn text(template: &str, contexts: &Contexts) -> Result<String, String> {
    let template =
        Template::parse(&Arc::from(template), Span::default(), &AnyNames).map_err(|e| e.to_string())?;
    let value = template.evaluate(contexts).map_err(|e| e.to_string())?;
    Ok(value.to_text().to_string())
}

/// The registry of an image (Docker's reference grammar: a first part with a dot, a port, or `localhost`).
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => match first {
            "docker.io" => DOCKER_HUB,
            other => other,
        },
        _ => DOCKER_HUB,
    }
}

/// An image's whole name, as docker understands a short one.
pub(super) fn full_name(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// The repository of an image: its whole name without tag and digest.
pub(super) fn repository(image: &str) -> String {
    let full = full_name(image);
    let named = full.split_once('@').map_or(full.as_str(), |(named, _)| named);
    // A colon before the last slash is a port's.
    let tag = named.rfind(':').filter(|at| *at > named.rfind('/').unwrap_or_default());
    named.get(..tag.unwrap_or(named.len())).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_and_repositories() {
        for (name, full, repository_of) in [
            ("python:3.12", "docker.io/library/python:3.12", "docker.io/library/python"),
            ("acme/x", "docker.io/acme/x", "docker.io/acme/x"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00", "ghcr.io/a/b"),
            ("r:5000/a:1@sha256:00", "r:5000/a:1@sha256:00", "r:5000/a"),
            ("r:5000/a", "r:5000/a", "r:5000/a"),
            ("localhost/a", "localhost/a", "localhost/a"),
        ] {
            assert_eq!((full_name(name).as_str(), repository(name).as_str()), (full, repository_of));
        }
    }

    #[test]
    fn the_registry_of_an_image() {
        for (image, found) in [
            ("python:3.12", DOCKER_HUB),
            ("acme/x", DOCKER_HUB),
            ("docker.io/acme/x", DOCKER_HUB),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost/a", "localhost"),
            ("r:5000/a", "r:5000"),
        ] {
            assert_eq!(registry(image), found, "{image}");
        }
    }
}
