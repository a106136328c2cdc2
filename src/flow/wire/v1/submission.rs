//! A run that is handed to an engine elsewhere, whole but for its secrets.

use super::error::explain;
use super::event::check_depth;
use super::{VERSION, WireError};
use crate::run::{EventKind, Millis, RunCreated};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that another engine is to start: what its log begins with, and what that names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Submission {
    /// The release that made it.
    pub tidegate: String,
    /// When it was made, in milliseconds since 1970.
    pub at: Millis,
    /// The first event of its log; the number is the other store's to give.
    pub created: RunCreated,
    /// Texts of the workflow files, by path.
    pub texts: BTreeMap<String, String>,
    /// Pods at once, where somebody said how many.
    pub pods_at_once: Option<u32>,
    /// What its pods are made of.
    pub pods: SubmittedPods,
}

/// What a person's settings say of the pods of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubmittedPods {
    /// The image of jobs that name none.
    pub image: String,
    /// An image that cannot be pulled is waited for this many seconds.
    pub image_patience: f64,
    /// A node that is not ready is waited for this many seconds.
    pub node_patience: f64,
    /// A node, room in a quota or in a queue is waited for this many seconds; without it, without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_timeout: Option<f64>,
    /// An attempt ends that no engine has looked after for this many seconds.
    pub orphan_after: f64,
    /// Secrets of the namespace that images are pulled with.
    pub pull_secrets: Vec<String>,
    /// How the cluster marks its spot nodes, as the settings say it.
    pub spot: Json,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    run: &'a Submission,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    v: u64,
    run: Submission,
}

/// Returns a submission as compact JSON.
///
/// Refuses what `decode_submission` could not read again: JSON that is nested too deep.
pub fn encode_submission(submission: &Submission) -> Result<Vec<u8>, WireError> {
    check_depth(&EventKind::RunCreated(Arc::new(submission.created.clone())))?;
    serde_json::to_vec(&Written { v: VERSION, run: submission })
        .map_err(|source| WireError::Damaged { what: "submission", source })
}

/// Reads a submission as `encode_submission` of this or an earlier release wrote it.
pub fn decode_submission(bytes: &[u8]) -> Result<Submission, WireError> {
    match serde_json::from_slice::<Read>(bytes) {
        Ok(read) if read.v > u64::from(VERSION) => Err(WireError::Newer { found: read.v, known: VERSION }),
        Ok(read) => Ok(read.run),
        Err(source) => Err(explain("submission", bytes, "/none", &[], source)),
    }
}
