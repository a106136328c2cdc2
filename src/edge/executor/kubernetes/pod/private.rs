//! What of an attempt is secret, as Kubernetes Secrets: what its agent alone may read, variables of
//! services, credentials of images.

use super::job::{PodSettings, has_credentials};
use super::names::{job_name, labels, pull_secret_name};
use super::services::secret_key_of;
use crate::executor::secret_values::{contexts, logins, text};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use tidegate_flow::job::JobSpec;

/// Returns the Secret of an attempt: what its agent alone may read. `owner` is the UID of its Job.
pub fn secret_manifest(
    spec: &JobSpec,
    settings: &PodSettings,
    owner: Option<&str>,
    files: &BTreeMap<String, String>,
) -> Json {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(&job_name(spec), spec, settings, owner),
        "type": "Opaque",
        "immutable": true,
        "stringData": files,
    })
}

/// Fills in the variables of services that read secrets: entries of the attempt's Secret.
pub fn service_secrets(
    spec: &JobSpec,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let contexts = contexts(spec, secrets);
    let mut filled = BTreeMap::new();
    for service in &spec.pod.services {
        for (name, template) in service.env.iter().filter(|(name, _)| service.secret.contains(name)) {
            let value = text(template, &contexts)
                .map_err(|e| format!("services.{}.env.{name}: {e}", service.name))?;
            filled.insert(secret_key_of(&service.name, name), value);
        }
    }
    Ok(filled)
}

/// The Secret that kubelets pull the attempt's images with; `None` where no image has credentials.
pub fn pull_secret(
    spec: &JobSpec,
    settings: &PodSettings,
    owner: &str,
    secrets: &BTreeMap<String, String>,
) -> Result<Option<Json>, String> {
    if !has_credentials(spec) {
        return Ok(None);
    }
    // A key may be a repository (Kubernetes, "Images: Interpretation of config.json"): kubelets give a pod's images of one
    // registry different credentials.
    let mut repositories = Map::new();
    for login in logins(spec, secrets)? {
        let value = json!({ "username": login.username, "password": login.password });
        repositories.entry(login.repository).or_insert(value);
    }
    Ok(Some(pull_manifest(spec, settings, Some(owner), &Json::Object(repositories))))
}

fn pull_manifest(spec: &JobSpec, settings: &PodSettings, owner: Option<&str>, repositories: &Json) -> Json {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(&pull_secret_name(spec), spec, settings, owner),
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": json!({ "auths": repositories }).to_string() },
    })
}

/// What a Secret of the attempt is called, and that it goes with the attempt's Job, whose UID is `owner`.
fn metadata(name: &str, spec: &JobSpec, settings: &PodSettings, owner: Option<&str>) -> Json {
    let mut metadata =
        json!({ "name": name, "namespace": settings.namespace, "labels": labels(spec, settings) });
    if let Some(uid) = owner {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "batch/v1", "kind": "Job", "name": job_name(spec), "uid": uid, "controller": false,
            "blockOwnerDeletion": false,
        }]);
    }
    metadata
}

/// Returns the attempt's Secrets as a plan shows them: each entry is there, and no value.
pub fn hidden_secrets(spec: &JobSpec, settings: &PodSettings) -> Vec<Json> {
    const HIDDEN: &str = "***";
    let of_services = spec
        .pod
        .services
        .iter()
        .flat_map(|service| service.secret.iter().map(|variable| secret_key_of(&service.name, variable)));
    let files = ["hub.pem", "key", "secrets.json"].map(str::to_owned).into_iter().chain(of_services);
    let files = files.map(|name| (name, HIDDEN.to_owned())).collect();
    let mut all = vec![secret_manifest(spec, settings, None, &files)];
    if has_credentials(spec) {
        all.push(pull_manifest(spec, settings, None, &json!({ HIDDEN: {} })));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::{settings, spec};
    use super::*;
    use tidegate_flow::job::{Credentials, ServiceSpec};

    #[test]
    fn secrets_are_filled_in_and_nowhere_else() {
        let service = ServiceSpec {
            name: "db".into(),
            image: "ghcr.io/acme/pg:1".into(),
            env: vec![("PW".into(), "x${{ secrets.PW }}".into()), ("USER".into(), "me".into())],
            secret: vec!["PW".into()],
            credentials: Some(Credentials { username: "u".into(), password: "${{ secrets.PULL }}".into() }),
            ..ServiceSpec::default()
        };
        let mut spec =
            JobSpec { token: "r.1.1".into(), attempt: 1, image: Some("i".into()), ..JobSpec::default() };
        spec.pod.services = vec![service];
        let secrets =
            BTreeMap::from([("PW".to_owned(), "hush".to_owned()), ("PULL".to_owned(), "pull".to_owned())]);
        let filled = service_secrets(&spec, &secrets).unwrap();
        assert_eq!(filled, BTreeMap::from([("service.db.PW".to_owned(), "xhush".to_owned())]));
        let pull = pull_secret(&spec, &PodSettings::default(), "uid", &secrets).unwrap().unwrap();
        let config: Json =
            serde_json::from_str(pull["stringData"][".dockerconfigjson"].as_str().unwrap()).unwrap();
        assert_eq!(config["auths"]["ghcr.io/acme/pg"], json!({ "username": "u", "password": "pull" }));
        let job = super::super::job_manifest(&spec, &PodSettings::default(), "d", None).unwrap().to_string();
        assert!(!job.contains("hush") && !job.contains("secrets.") && job.contains("service.db.PW"), "{job}");
        assert!(job.contains(&pull_secret_name(&spec)));
        // A plan shows both, without a value.
        let hidden = hidden_secrets(&spec, &PodSettings::default());
        assert_eq!(hidden[0]["stringData"]["service.db.PW"], "***");
        assert_eq!(hidden[1]["metadata"]["name"], pull_secret_name(&spec));
        assert_eq!(hidden[1]["stringData"][".dockerconfigjson"], "{\"auths\":{\"***\":{}}}");
    }

    #[test]
    fn a_secret_is_its_jobs() {
        let files = BTreeMap::from([("key".to_owned(), "k".to_owned())]);
        let secret = secret_manifest(&spec(), &settings(), Some("uid-1"), &files);
        insta::assert_snapshot!(serde_json::to_string_pretty(&secret).unwrap());
    }
}
