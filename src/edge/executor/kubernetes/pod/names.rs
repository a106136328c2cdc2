//! What the objects of an attempt are called, and what says whose they are.

use super::PodSettings;
use serde_json::{Value as Json, json};
use tidegate_flow::job::JobSpec;

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

pub(super) fn labels(spec: &JobSpec, settings: &PodSettings) -> Json {
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

/// Returns what says that a Job does the work of a spec: its digest, but for the checkpoint that was
/// saved last, which another engine finds changed.
pub fn identity(spec: &JobSpec, digest: &str) -> String {
    let mut spec = match &spec.checkpoint {
        Some(checkpoint) if checkpoint.saved.is_some() => spec.clone(),
        _ => return digest.to_owned(),
    };
    if let Some(checkpoint) = &mut spec.checkpoint {
        checkpoint.saved = None;
    }
    let bytes = serde_json::to_vec(&spec).unwrap_or_default();
    blake3::hash(&bytes).to_hex().to_string()
}

/// The Secret with the credentials of an attempt's images.
pub fn pull_secret_name(spec: &JobSpec) -> String {
    format!("{}-pull", job_name(spec))
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::spec;
    use super::*;

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
}
