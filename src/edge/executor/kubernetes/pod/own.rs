//! What of an attempt the engine itself gave to its pod, and what in a namespace is Tidegate's own.
//!
//! Names of Secrets can be guessed, so a name alone opens nothing: only what stands here does. Pure.

use super::names::{job_name, pull_secret_name};
use super::services::{container_names, secret_key_of};
use tidegate_flow::job::JobSpec;

/// What the engine gave to a pod of what it owns.
pub(super) struct Own {
    /// The Secret of the attempt; the volume `secret` has it.
    pub(super) secret: String,
    /// The Secret that its images are pulled with.
    pub(super) pull_secret: String,
    /// Containers of services, with the entries of the attempt's Secret that they read.
    pub(super) given: Vec<(String, String)>,
}

impl Own {
    /// Returns what an attempt's pod has.
    pub(super) fn of(spec: &JobSpec) -> Self {
        let services = spec.pod.services.iter().zip(container_names(&spec.pod.services));
        let given = services.flat_map(|(service, container)| {
            let secret = service.env.iter().filter(|(name, _)| service.secret.contains(name));
            secret.map(move |(name, _)| (container.clone(), secret_key_of(&service.name, name)))
        });
        Self { secret: job_name(spec), pull_secret: pull_secret_name(spec), given: given.collect() }
    }

    /// Tells whether the engine gave an entry of a Secret to a container.
    pub(super) fn gave(&self, container: &str, secret: &str, entry: &str) -> bool {
        secret == self.secret && self.given.iter().any(|(name, key)| name == container && key == entry)
    }
}

/// Tells whether a Secret is Tidegate's: of an attempt, a request, the hub, the object store.
pub(super) fn is_secret(name: &str) -> bool {
    ["tg-", "tidegate-run-"].iter().any(|start| name.starts_with(start))
        || ["tidegate-hub", "tidegate-store"].contains(&name)
}

/// Tells whether hub or engine are called so: their pods by a label, and the claims of their volumes.
pub(super) fn is_name(name: &str) -> bool {
    ["tidegate-hub", "tidegate-engine"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::{settings, spec};
    use super::super::{ManifestError, Template, job_manifest};
    use super::*;
    use tidegate_lang::source::Style;

    #[test]
    fn a_template_reads_no_secret_of_an_attempt() {
        let spec = JobSpec { token: "r.1.1".into(), attempt: 1, ..spec() };
        let other = job_name(&JobSpec { token: "r.2.1".into(), ..spec.clone() });
        let text = format!(
            "spec:\n  initContainers: [{{ name: spy, restartPolicy: Always, image: x, env: [{{ name: K, valueFrom: {{ secretKeyRef: {{ name: {other}, key: secrets.json }} }} }}] }}]\n"
        );
        let refused = job_manifest(&spec, &settings(), "d", Some(Template { path: "t.yaml", text: &text }));
        let ManifestError::Template(findings) = refused.unwrap_err() else { panic!() };
        let said = findings.shown(Style::default());
        assert!(said.contains(&format!("the policy does not allow the Secret `{other}`")), "{said}");
    }
}
