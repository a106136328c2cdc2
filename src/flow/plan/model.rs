//! A plan: everything that would run and why, as data. Values that are known only while it runs are
//! named with their expression, never made up.

use super::{Absent, Estimate};
use crate::run::{ConcurrencyGroup, ReadySettings};
use crate::trigger::Decision;
use serde::Serialize;
use serde_json::Value as Json;
use tidegate_lang::workflow::BoundKind;

/// What one workflow would do on one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Path of the workflow file.
    pub workflow: String,
    /// `name`, or the path.
    pub name: String,
    /// The event's name.
    pub event: String,
    /// Whether it starts, and why (not).
    pub decision: Decision,
    /// The evaluated `run-name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_name: Option<String>,
    /// The workflow's concurrency group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyGroup>,
    /// Parts of the workflow as a whole that are not there yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
    /// Data sources as they are now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<PlannedSource>,
    /// Jobs in an order in which they could run; those of a called workflow follow their caller.
    pub jobs: Vec<PlannedJob>,
    /// How long it may take, where earlier runs tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// A data source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlannedSource {
    /// As the workflow calls it.
    pub name: String,
    /// Where it was looked for.
    pub uri: String,
    /// Digest of what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub size: u64,
    /// Files that are new since the last run of the workflow.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that are different.
    pub changed: usize,
    /// Why it cannot be read: the run would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedJob {
    /// Its id; `caller / inner` in a called workflow.
    pub id: String,
    /// What people see.
    pub display: String,
    /// Ids of the jobs it needs.
    pub needs: Vec<String>,
    /// The workflow it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<String>,
    /// Whether it runs.
    pub fate: Fate,
    /// `if` as written.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// `fail-fast`.
    pub fail_fast: bool,
    /// `max-parallel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// In matrix order; empty where the job does not run or its matrix is not known yet.
    pub instances: Vec<PlannedInstance>,
    /// Keys whose value is known only when what it needs has ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Later>,
    /// Workflow and job `env`, evaluated where possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
    /// Names it produces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub produces: Vec<(String, String)>,
    /// Parts that are not there yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
}

/// Whether a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It does, if what it needs succeeds.
    Runs,
    /// Every instance is taken from the cache.
    Cached {
        /// The runs it was done in.
        runs: Vec<u64>,
    },
    /// It does not.
    Skipped {
        /// With the values.
        reason: String,
    },
    /// It is decided while the run goes on.
    Depends {
        /// On what, in words or as written.
        on: String,
    },
    /// Something cannot be evaluated, or is not there yet: it would fail.
    Fails {
        /// In words.
        reason: String,
    },
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedInstance {
    /// What people see.
    pub display: String,
    /// Matrix values; null without a matrix.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub matrix: Json,
    /// Its evaluated keys.
    pub settings: Box<ReadySettings>,
    /// What the cache says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheAnswer>,
}

/// What the cache says of an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheAnswer {
    /// Done before.
    Hit {
        /// The run's number.
        run: u64,
        /// What it gave.
        #[serde(skip)]
        receipt: Box<crate::job::Receipt>,
    },
    /// It must run.
    Miss {
        /// What differs from the run it was last done in: files, or parts of the key by name.
        differs: Vec<String>,
        /// That run.
        since: Option<u64>,
    },
    /// The key depends on what is not known yet.
    Later,
}

/// A value that is known later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Later {
    /// The key, such as `consumes.clean.csv`.
    pub key: String,
    /// As written.
    pub expression: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// Its id, written or generated.
    pub id: String,
    /// Its `name`, evaluated where possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `run`, `uses`, `gate`, `validate`, `notebook`, `register` or `deploy`.
    pub kind: &'static str,
    /// The script, action or file: expressions evaluated where possible, else as written.
    pub text: String,
    /// `if` as written.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// `with`, evaluated where possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<(String, String)>,
    /// `env`, evaluated where possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// The gate's thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<PlannedGate>,
}

/// A gate's thresholds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedGate {
    /// Metric, kind and limit.
    pub bounds: Vec<(String, BoundKind, String)>,
    /// Expectations as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
}
