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

/// Who may pull from a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// The registry, as docker's configuration names it.
    pub(super) registry: String,
    /// `username`.
    pub(super) username: String,
    /// `password`.
    pub(super) password: String,
}

/// The credentials of all images of an attempt.
pub(super) fn logins(spec: &JobSpec, secrets: &BTreeMap<String, String>) -> Result<Vec<Login>, String> {
    let contexts = contexts(spec, secrets);
    let own = spec.image.as_deref().zip(spec.pod.credentials.as_ref());
    let services = spec.pod.services.iter().filter_map(|s| Some((s.image.as_str(), s.credentials.as_ref()?)));
    own.into_iter()
        .chain(services)
        .map(|(image, Credentials { username, password })| {
            let wrong = |e| format!("credentials of {image}: {e}");
            Ok(Login {
                registry: registry(image).to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
