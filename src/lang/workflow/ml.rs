//! Tidegate's own keys of jobs and steps.

use super::{Dynamic, Tree};
use crate::expr::Template;
use crate::source::{Span, Spanned};

/// `python`: the environment a job's processes run in.
#[derive(Clone, Debug, PartialEq)]
pub struct Python {
    /// `version`, such as `3.11`.
    pub version: Option<Template>,
    /// `requirements`: a file of the project.
    pub requirements: Option<Template>,
    /// `packages`: requirement specifiers.
    pub packages: Vec<Template>,
    /// Where.
    pub span: Span,
}

/// `resources`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// Cores: `4`, `0.5`, `500m`.
    pub cpu: Option<Template>,
    /// Bytes: `16Gi`.
    pub memory: Option<Template>,
    /// Bytes.
    pub ephemeral_storage: Option<Template>,
    /// Bytes of `/dev/shm`.
    pub shm: Option<Template>,
    /// GPUs: a number, or a mapping `count vendor product memory mig resource`.
    pub gpu: Option<Tree>,
}

/// `retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// `attempts`: total, 1 or more.
    pub attempts: Option<Spanned<Dynamic<f64>>>,
    /// `on`: failure classes; empty means `failure`.
    pub on: Vec<Spanned<String>>,
    /// `infra`: budget for preempted and lost.
    pub infra: Option<Spanned<Dynamic<f64>>>,
    /// `backoff`: `initial`, `max` in seconds, `factor`, `jitter`.
    pub backoff: Option<Tree>,
    /// `oom`: `memory-factor`, `max-memory`.
    pub oom: Option<Tree>,
    /// Where.
    pub span: Span,
}

/// `queue`: `research`, or `{name: research, priority: high}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// `name`.
    pub name: Template,
    /// `priority`: a class of the cluster's.
    pub priority: Option<Template>,
}

/// `checkpoint`.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The folder.
    pub path: Template,
    /// `every`, a duration.
    pub every: Option<Template>,
    /// `grace`, a duration.
    pub grace: Option<Template>,
    /// `volume`, the name of a claim.
    pub volume: Option<Template>,
}

/// One entry of `produces`.
#[derive(Clone, Debug, PartialEq)]
pub struct Produce {
    /// The artifact's name.
    pub name: Spanned<String>,
    /// File or folder in the work folder.
    pub path: Template,
    /// `if-missing: ignore`; otherwise a missing path fails the job.
    pub ignore_missing: bool,
}

/// One entry of `consumes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Consume {
    /// Where it goes in the work folder.
    pub path: Spanned<String>,
    /// What: gives an artifact, a list of artifacts, a data source or a model.
    pub from: Template,
    /// `mount: shared`.
    pub shared: bool,
}

/// `metrics` or `params`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Files in the work folder: JSON or JSON Lines.
    pub files: Vec<Template>,
    /// `goals`: name and `max` or `min`.
    pub goals: Vec<(Spanned<String>, Spanned<String>)>,
    /// Where.
    pub span: Span,
}

/// `cache` of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// `true` or `false`, or an expression.
    pub enabled: Dynamic<bool>,
    /// `inputs`: globs; empty means the whole tree.
    pub inputs: Vec<Template>,
    /// `key`.
    pub key: Option<Template>,
    /// `version`.
    pub version: Option<Template>,
    /// Where.
    pub span: Span,
}

/// `gate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Bounds by metric.
    pub metrics: Vec<(Spanned<String>, Vec<Bound>)>,
    /// `expect`: expressions that must be true.
    pub expect: Vec<Template>,
    /// `baseline`: `MODEL@ALIAS`, `branch:NAME` or `FILE.json`.
    pub baseline: Option<Template>,
    /// Where.
    pub span: Span,
}

/// One bound of a gate's metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Which.
    pub kind: Spanned<BoundKind>,
    /// A number or `2%`.
    pub limit: Template,
}

/// Kinds of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundKind {
    /// At least.
    Min,
    /// At most.
    Max,
    /// Exactly.
    Equals,
    /// At most this much worse than the baseline.
    MaxWorse,
    /// At least this much better than the baseline.
    MinGain,
}

/// `validate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Validate {
    /// The data file.
    pub data: Template,
    /// A JSON Schema for one row.
    pub schema: Option<Template>,
    /// `rows`: `{min, max}` or a number.
    pub rows: Option<Tree>,
    /// `unique`: columns or groups of columns.
    pub unique: Option<Tree>,
    /// `nulls`: share or number allowed by column.
    pub nulls: Option<Tree>,
    /// `drift`.
    pub drift: Option<Tree>,
    /// Where.
    pub span: Span,
}

/// `notebook`.
#[derive(Clone, Debug, PartialEq)]
pub struct Notebook {
    /// The `.ipynb`.
    pub path: Template,
    /// `params`.
    pub params: Option<Tree>,
    /// `kernel`.
    pub kernel: Option<Template>,
    /// `output`.
    pub output: Option<Template>,
    /// Where.
    pub span: Span,
}

/// `register`.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// The whole step value: `model path alias metrics …`, checked for its keys.
    pub fields: Tree,
    /// Where.
    pub span: Span,
}

/// `deploy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// The whole step value: `model target canary promote …`, checked for its keys.
    pub fields: Tree,
    /// Where.
    pub span: Span,
}
