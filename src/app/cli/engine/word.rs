//! What the process of a run says, a line of JSON each, and what it is told.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_flow::wire::v1::Submission;

/// The first line on the standard input of a run's process. Later lines: `cancel`. Its end: leave the run.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    /// The run, unless its request is gone.
    pub submission: Option<Submission>,
    /// Values of its secrets.
    pub secrets: BTreeMap<String, String>,
}

/// The line that ends a run as Ctrl-C does.
pub(super) const CANCEL: &str = "cancel";

/// What the process of a run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// The run is in the log.
    Accepted(u64),
    /// It will never be.
    Refused(String),
    /// It has ended: how, in one word.
    Ended(String),
    /// The next process goes on with it.
    Left,
    /// It cannot go on just now.
    Trouble(String),
}
