//! A run's request: one Secret that holds all of it, named after the run. Pure.

use crate::executor::kubernetes::ClusterError;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_flow::wire::v1::{Submission, WireError, decode_submission, encode_submission};

/// The label of every request.
pub(super) const LABEL: &str = "tidegate.dev/run-request";
/// The number that the engine gave the run: it has taken it in.
pub(super) const NUMBER: &str = "tidegate.dev/run-number";
/// The id of the store that has taken the run in.
pub(super) const TAKEN_BY: &str = "tidegate.dev/store-id";
/// Why the engine does not take it in.
pub(super) const REFUSED: &str = "tidegate.dev/refused";
/// Why the engine cannot go on with it just now.
pub(super) const TROUBLE: &str = "tidegate.dev/trouble";
/// The keys of its data.
const RUN: &str = "run";
const SECRETS: &str = "secrets";
/// Bytes that a Secret may hold.
const LIMIT: usize = 1 << 20;

/// A request as the engine finds it.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The Secret's name.
    pub name: String,
    /// The run that the name stands for.
    pub run: String,
    /// The store that took it in.
    pub taken_by: Option<String>,
    /// The engine has refused it.
    pub refused: bool,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    submission: Vec<u8>,
    secrets: Vec<u8>,
}

/// Why a request says nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The run cannot be read.
    #[error("the run cannot be read: {0}")]
    Run(#[from] WireError),
    /// The secrets cannot be read. What they are is not said.
    #[error("the secrets cannot be read: they are not an object of texts")]
    Secrets,
    /// Its name is another run's.
    #[error("it is called {name} and holds run {run}")]
    Name {
        /// The Secret's name.
        name: String,
        /// The run in it.
        run: String,
    },
}

/// The name of a run's request.
pub(super) fn name_of(run: &str) -> String {
    format!("tidegate-run-{}", run.to_ascii_lowercase())
}

/// Makes the Secret of a run.
pub(super) fn manifest(
    namespace: &str,
    submission: &Submission,
    secrets: &BTreeMap<String, String>,
) -> Result<Json, ClusterError> {
    let wrong =
        |e: &dyn std::fmt::Display| ClusterError::Config(format!("the run cannot be written down: {e}"));
    let run = encode_submission(submission).map_err(|e| wrong(&e))?;
    let secrets = serde_json::to_vec(secrets).map_err(|e| wrong(&e))?;
    let bytes = run.len() + secrets.len();
    if bytes > LIMIT {
        return Err(ClusterError::TooLarge { bytes, limit: LIMIT });
    }
    let actor = submission.created.contexts.get("github").and_then(|github| github["actor"].as_str());
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": LABEL,
        "metadata": {
            "name": name_of(&submission.created.run),
            "namespace": namespace,
            "labels": { "app.kubernetes.io/managed-by": "tidegate", LABEL: "" },
            "annotations": {
                "tidegate.dev/workflow": submission.created.workflow,
                "tidegate.dev/actor": actor.unwrap_or_default(),
            },
        },
        "data": { RUN: ByteString(run), SECRETS: ByteString(secrets) },
    }))
}

impl Request {
    /// Reads a Secret; nothing of what it holds is looked at yet.
    pub(super) fn of(secret: Secret) -> Self {
        let name = secret.metadata.name.unwrap_or_default();
        let notes = secret.metadata.annotations.unwrap_or_default();
        let mut data = secret.data.unwrap_or_default();
        let mut part = |key: &str| data.remove(key).map(|ByteString(bytes)| bytes).unwrap_or_default();
        Self {
            run: name.strip_prefix("tidegate-run-").unwrap_or(&name).to_ascii_uppercase(),
            taken_by: notes.get(TAKEN_BY).cloned(),
            refused: notes.contains_key(REFUSED),
            made: secret.metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
            submission: part(RUN),
            secrets: part(SECRETS),
            name,
        }
    }

    /// Reads what it holds.
    pub fn read(&self) -> Result<(Submission, BTreeMap<String, String>), RequestError> {
        let submission = decode_submission(&self.submission)?;
        if submission.created.run != self.run {
            return Err(RequestError::Name { name: self.name.clone(), run: submission.created.run });
        }
        let secrets = serde_json::from_slice(&self.secrets).map_err(|_| RequestError::Secrets)?;
        Ok((submission, secrets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::run::RunCreated;

    fn submission() -> Submission {
        let created = RunCreated { run: "01JDXYZ".to_owned(), ..RunCreated::default() };
        Submission { created, ..Submission::default() }
    }

    fn secret(change: impl FnOnce(&mut Json)) -> Secret {
        let secrets = [("TOKEN".to_owned(), "hush".to_owned())].into();
        let mut made = manifest("ml", &submission(), &secrets).unwrap();
        change(&mut made);
        serde_json::from_value(made).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let request = Request::of(secret(|_| {}));
        assert_eq!((request.name.as_str(), request.run.as_str()), ("tidegate-run-01jdxyz", "01JDXYZ"));
        let (read, secrets) = request.read().unwrap();
        assert_eq!(read, submission());
        assert_eq!(secrets["TOKEN"], "hush");
        assert!(!request.refused && request.taken_by.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secrets() {
        let wrong = |change: fn(&mut Json)| Request::of(secret(change)).read().unwrap_err().to_string();
        assert!(wrong(|s| s["data"]["run"] = json!("eA==")).contains("cannot be read"));
        assert!(wrong(|s| s["data"] = json!({})).contains("cannot be read"));
        // "hush"
        assert!(!wrong(|s| s["data"]["secrets"] = json!("aHVzaA==")).contains("hush"));
        let name = wrong(|s| s["metadata"]["name"] = json!("tidegate-run-other"));
        assert_eq!(name, "it is called tidegate-run-other and holds run 01JDXYZ");
    }

    #[test]
    fn more_than_a_secret_holds_is_refused_here() {
        let secrets = [("BIG".to_owned(), "x".repeat(LIMIT))].into();
        assert!(matches!(manifest("ml", &submission(), &secrets), Err(ClusterError::TooLarge { .. })));
    }
}
