//! What an agent is given: everything one attempt of one instance needs, and no secret value.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// One attempt of one instance. Templates travel as the text of the workflow file and are
/// evaluated by the agent; see DESIGN "When `${{ }}` is evaluated".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Version of this form, 1.
    pub version: u32,
    /// The run's ULID.
    pub run: String,
    /// The run's number for people.
    pub run_number: u64,
    /// The job's id in its workflow.
    pub job: String,
    /// What people see: `train (svm, 0.1)`.
    pub display: String,
    /// Index of the instance in its job, from 0.
    pub instance: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Unique for this attempt of this run; every message carries it.
    pub token: String,
    /// Dialect `github` or `tidegate`.
    pub dialect: String,
    /// The tree to work in.
    pub source: SourceSpec,
    /// Contexts that expressions may read, by name: `github inputs vars matrix strategy needs data
    /// models` … `secrets` is not among them; `env job runner steps metrics` are the agent's.
    pub contexts: BTreeMap<String, Json>,
    /// Names of secrets the job may read; values come with [`super::AgentRequest::Start`].
    pub secrets: Vec<String>,
    /// Workflow `env`, then job `env`: each a mapping of templates, or one template.
    pub env: Vec<EnvLayer>,
    /// `defaults.run.shell`, unevaluated.
    pub shell: Option<String>,
    /// `defaults.run.working-directory`, unevaluated.
    pub working_directory: Option<String>,
    /// The job's steps in order.
    pub steps: Vec<StepSpec>,
    /// Job `outputs`: name and template.
    pub outputs: Vec<(String, String)>,
    /// `timeout-minutes` in seconds, counted from the first step.
    pub timeout_seconds: Option<f64>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: f64,
    /// What to lay into the work folder first.
    pub consumes: Vec<ConsumeSpec>,
    /// What to keep at the end.
    pub produces: Vec<ProduceSpec>,
    /// Files of metrics (templates) and goals.
    pub metrics: MetricsSpec,
    /// Files of parameters (templates).
    pub params: MetricsSpec,
    /// The Python environment.
    pub python: Option<PythonSpec>,
    /// The checkpoint folder.
    pub checkpoint: Option<CheckpointSpec>,
    /// GPUs of this machine given to this attempt, by index; `None` where the job asked for none.
    pub gpus: Option<Vec<u32>>,
    /// The job's image, if it has one; informative where jobs are processes.
    pub image: Option<String>,
    /// What it asks of a pod; where jobs are processes the engine has seen to it.
    #[serde(default, skip_serializing_if = "ResourceRequest::is_empty")]
    pub resources: ResourceRequest,
    /// What it asks of a cluster beyond that; empty where jobs are processes.
    #[serde(default, skip_serializing_if = "super::PodRequest::is_empty")]
    pub pod: super::PodRequest,
    /// `environment.url`, unevaluated; it may read `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_url: Option<String>,
    /// The step-debug switch: `::debug::` lines are shown.
    pub debug: bool,
}

/// Where the work folder's tree comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Digest of the tree's manifest in the store; empty: an empty work folder.
    pub tree: String,
    /// The commit, 40 hex digits; empty outside a repository.
    pub commit: String,
    /// Whether the tree has changes that are not in the commit.
    pub dirty: bool,
    /// The project's folder inside the tree, without slashes at the ends; empty: the tree itself.
    pub project: String,
    /// `--in-place`: run in this folder instead of a work folder.
    pub in_place: Option<String>,
}

/// One `env` mapping, unevaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvLayer {
    /// Names and templates in file order.
    pub variables: Vec<(String, String)>,
    /// The whole mapping as one expression.
    pub expression: Option<String>,
}

/// One step, unevaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// `id`, or GitHub's generated one (`__run`, `__run_2`, `__actions_checkout`).
    pub id: String,
    /// `name` template, or empty: then what GitHub shows (`Run …`).
    pub name: String,
    /// `if`, without `${{ }}` around it where it was written so; empty means `success()`.
    pub condition: String,
    /// `env`.
    pub env: EnvLayer,
    /// `continue-on-error` template; empty means false.
    pub continue_on_error: String,
    /// `timeout-minutes` template; empty means none.
    pub timeout_minutes: String,
    /// Step `retry` (attempts, classes, backoff), evaluated.
    pub retry: Option<RetrySpec>,
    /// What it does.
    pub action: ActionSpec,
    /// Line of the workflow file, from 1, for messages.
    pub line: u32,
}

/// What a step does, unevaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionSpec {
    /// `run`.
    Run {
        /// The script.
        script: String,
        /// `shell`.
        shell: Option<String>,
        /// `working-directory`.
        working_directory: Option<String>,
    },
    /// `uses`: a local composite action or a built-in one.
    Uses {
        /// `./path` or `actions/checkout@v4`.
        uses: String,
        /// `with`.
        with: Vec<(String, String)>,
    },
    /// `gate`.
    Gate(GateSpec),
    /// `validate`.
    Validate(ValidateSpec),
}

impl ActionSpec {
    /// Tells whether the agent does it itself, beside the containers of steps: gates, validations and built-in actions.
    /// Other names of `uses` than paths are built in, or fail.
    pub fn needs_no_container(&self) -> bool {
        match self {
            Self::Run { .. } => false,
            Self::Uses { uses, .. } => !(uses == "." || uses.starts_with("./") || uses.starts_with("../")),
            Self::Gate(_) | Self::Validate(_) => true,
        }
    }
}

impl Default for ActionSpec {
    fn default() -> Self {
        Self::Run { script: String::new(), shell: None, working_directory: None }
    }
}

/// A gate, unevaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateSpec {
    /// Metric and bounds: kind and limit template.
    pub metrics: Vec<(String, Vec<(tidegate_lang::workflow::BoundKind, String)>)>,
    /// `expect`.
    pub expect: Vec<String>,
    /// `baseline` template.
    pub baseline: Option<String>,
}

/// A data validation, unevaluated; trees are JSON with templates as text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidateSpec {
    /// The data file.
    pub data: String,
    /// JSON Schema file of one row.
    pub schema: Option<String>,
    /// `rows`.
    pub rows: Option<Json>,
    /// `unique`.
    pub unique: Option<Json>,
    /// `nulls`.
    pub nulls: Option<Json>,
}

/// `retry`, evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// Attempts in all, 1 or more.
    pub attempts: u32,
    /// Classes that are tried again: words of [`super::FailureClass`], or `exit:N`.
    pub on: Vec<String>,
    /// Budget for preempted and lost.
    pub infra: u32,
    /// First pause in seconds.
    pub backoff_initial: f64,
    /// Factor from pause to pause.
    pub backoff_factor: f64,
    /// Longest pause in seconds.
    pub backoff_max: f64,
    /// Share of the pause that is random, 0 to 1.
    pub backoff_jitter: f64,
    /// Factor on memory after `oom`; 1 keeps it.
    pub oom_memory_factor: f64,
    /// Most memory in bytes after `oom`; 0: no limit.
    pub oom_max_memory: u64,
}

impl RetrySpec {
    /// Returns the pause in seconds after `spent` attempts (1 or more), before its random share.
    pub fn backoff_seconds(&self, spent: u32) -> f64 {
        // Nothing grows to nothing, however often: 0 × ∞ would be no number.
        if self.backoff_initial.is_nan() || self.backoff_initial <= 0.0 {
            return 0.0;
        }
        let exponent = i32::try_from(spent.saturating_sub(1)).unwrap_or(i32::MAX);
        (self.backoff_initial * self.backoff_factor.powi(exponent)).min(self.backoff_max).max(0.0)
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            attempts: 1,
            on: vec!["failure".to_owned()],
            infra: 10,
            backoff_initial: 0.0,
            backoff_factor: 2.0,
            backoff_max: 300.0,
            backoff_jitter: 0.0,
            oom_memory_factor: 1.0,
            oom_max_memory: 0,
        }
    }
}

/// What to lay into the work folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumeSpec {
    /// Path in the work folder; a list of items gives one subfolder `0`, `1`, … for each.
    pub path: String,
    /// What.
    pub items: Vec<ArtifactRef>,
    /// Whether `items` came from a list.
    pub list: bool,
    /// `mount: shared`.
    pub shared: bool,
}

/// Content in the store or a pinned data source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Digest of the manifest (blake3, hex): one file or a tree.
    pub digest: String,
    /// Bytes in all.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// Whether it is a folder.
    pub tree: bool,
    /// The name of the one file, as the job that made it called it; empty for a folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What to keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProduceSpec {
    /// The artifact's name.
    pub name: String,
    /// Path template.
    pub path: String,
    /// Whether a missing path is no failure.
    pub ignore_missing: bool,
}

/// `metrics` or `params`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsSpec {
    /// File templates.
    pub files: Vec<String>,
    /// Metric and `max` or `min`.
    pub goals: BTreeMap<String, String>,
}

/// `python`, evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PythonSpec {
    /// Wanted version such as `3.11`; empty: the machine's.
    pub version: String,
    /// Requirements file in the project; empty: none.
    pub requirements: String,
    /// Requirement specifiers.
    pub packages: Vec<String>,
}

/// `checkpoint`, evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSpec {
    /// The folder in the work folder.
    pub path: String,
    /// Seconds between saves while running.
    pub every_seconds: f64,
    /// Seconds of grace before a kill.
    pub grace_seconds: f64,
    /// The same for all attempts and reruns of this instance: where saves are found again.
    pub key: String,
    /// What was saved last, where the agent does not find it by the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<ArtifactRef>,
    /// The claim of the namespace that holds the folder, in a pod; empty: it is saved as objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume: String,
}

/// What an attempt asks of a machine or a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// Thousandths of a core; 0: not said.
    pub cpu_millis: u64,
    /// Bytes; 0: not said.
    pub memory_bytes: u64,
    /// Bytes; 0: not said.
    pub storage_bytes: u64,
    /// Bytes of `/dev/shm`; 0: not said.
    pub shm_bytes: u64,
    /// Whole GPUs.
    pub gpus: u32,
    /// `vendor product memory mig resource` as written.
    pub gpu: Json,
}

impl ResourceRequest {
    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_nothing_stays_nothing() {
        let pause = |initial, factor, spent| {
            let retry =
                RetrySpec { backoff_initial: initial, backoff_factor: factor, ..RetrySpec::default() };
            retry.backoff_seconds(spent)
        };
        for (initial, factor, spent, seconds) in [
            (10.0, 2.0, 1, 10.0),
            (10.0, 2.0, 3, 40.0),
            (10.0, 2.0, 9, 300.0),
            (10.0, 2.0, u32::MAX, 300.0),
            (10.0, 1.0, u32::MAX, 10.0),
            (0.0, 2.0, 1026, 0.0),
            (f64::NAN, 2.0, 1, 0.0),
            (1.0, 0.5, u32::MAX, 0.0),
        ] {
            assert_eq!(
                pause(initial, factor, spent).to_bits(),
                f64::to_bits(seconds),
                "{initial} {factor} {spent}"
            );
        }
    }
}
