//! What a run is asked to be.

use super::Happening;
use crate::app::config::Project;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidegate_lang::workflow::Dialect;

/// A run to be started.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Where.
    pub project: Project,
    /// The workflow file.
    pub file: PathBuf,
    /// How the file is read.
    pub dialect: Dialect,
    /// GitHub's name of the event.
    pub event: String,
    /// Its payload.
    pub payload: Json,
    /// Whether a person starts it: then no filter is asked.
    pub by_hand: bool,
    /// Inputs as given.
    pub inputs: BTreeMap<String, String>,
    /// Only these jobs and what they need; empty: all.
    pub jobs: Vec<String>,
    /// Only instances with these matrix values.
    pub matrix: Vec<(String, String)>,
    /// Values of secrets; never stored.
    pub secrets: BTreeMap<String, String>,
    /// Variables over those of the settings.
    pub vars: BTreeMap<String, String>,
    /// Environment variables of every step, below those of the workflow.
    pub env: BTreeMap<String, String>,
    /// Local folders in place of data sources.
    pub data: BTreeMap<String, PathBuf>,
    /// Run in the tree itself.
    pub in_place: bool,
    /// Who.
    pub actor: Option<String>,
    /// Show `::debug::` lines.
    pub debug: bool,
    /// What finished instances are taken over from.
    pub rerun: Option<Rerun>,
}

impl RunRequest {
    /// Returns what happens.
    pub(super) fn happening(&self) -> Happening<'_> {
        Happening { event: &self.event, payload: &self.payload, by_hand: self.by_hand, inputs: &self.inputs }
    }
}

/// A rerun of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// Its ULID.
    pub run: String,
    /// Jobs that run again with all that needs them; empty: those that did not succeed.
    pub from: Vec<String>,
    /// The data that it pinned, where its log is not in this store but in that of the engine which gets the run.
    pub pinned: Option<Json>,
}
