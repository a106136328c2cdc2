//! What can happen in a run: the vocabulary of its log.
//!
//! Everything that was evaluated, chosen or measured is in the event, so that replay asks nobody.

use super::{InstanceId, JobId, Millis};
use crate::gate::Verdict;
use crate::job::{Annotation, ArtifactRef, Conclusion, FailureClass, Receipt, RetrySpec};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// When it was admitted.
    pub at: Millis,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// First event of every log.
    RunCreated(Arc<RunCreated>),
    /// Another engine took the run over (`--resume`).
    EngineStarted {
        /// The owner's epoch, from 1.
        epoch: u64,
        /// Whether running attempts go on, as on a cluster; those of this machine are gone.
        #[serde(default, skip_serializing_if = "is_false")]
        keeps: bool,
    },
    /// Jobs of a called workflow joined the run.
    JobsAdded {
        /// The calling instance.
        caller: InstanceId,
        /// The jobs; their ids go on from the last.
        jobs: Vec<Arc<JobDeclared>>,
    },
    /// `if` and `strategy` were evaluated.
    JobEvaluated {
        /// Which.
        job: JobId,
        /// What came out.
        outcome: JobEvaluation,
    },
    /// The keys that are evaluated for each instance were evaluated.
    InstanceEvaluated {
        /// Which.
        instance: InstanceId,
        /// What came out.
        settings: Box<InstanceSettings>,
    },
    /// The cache was asked.
    CacheAnswered {
        /// Which instance.
        instance: InstanceId,
        /// The receipt found, and the run it is from; `None`: it must run.
        hit: Option<Box<(String, Receipt)>>,
        /// Gates judged again on the cached metrics.
        verdicts: Vec<Verdict>,
        /// Why it runs although a receipt was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A finished instance of an earlier run was taken over by `rerun`.
    Adopted {
        /// Which instance.
        instance: InstanceId,
        /// The run it is from.
        from: String,
        /// Its receipt.
        receipt: Arc<Receipt>,
    },
    /// Its concurrency group and capacity were granted; it may start.
    SlotGranted {
        /// Which instance.
        instance: InstanceId,
        /// GPUs by index.
        gpus: Option<Vec<u32>>,
    },
    /// A concurrency group was granted that is held over many jobs: the run's own, or that of a job
    /// that calls a workflow and was waiting for it when its engine died.
    GroupGranted {
        /// The calling instance; `None`: the run.
        instance: Option<InstanceId>,
    },
    /// An instance is to stop, and only it: another one takes its place in their concurrency group.
    InstanceStopped {
        /// Which instance.
        instance: InstanceId,
        /// In words.
        reason: String,
    },
    /// An attempt was handed to the executor.
    AttemptStarted {
        /// Which instance.
        instance: InstanceId,
        /// From 1; infra retries count on, too.
        attempt: u32,
        /// Its token.
        token: String,
        /// Digest of its `JobSpec`; empty where it was not stored.
        spec: String,
    },
    /// The agent stands and says what is special.
    AttemptReady {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// For the log's top.
        notes: Vec<String>,
    },
    /// An attempt cannot begin yet: a node, a quota or an image is waited for. Said when it has waited for
    /// some seconds, and again when the reason has changed.
    AttemptWaiting {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Why, in one line.
        reason: String,
    },
    /// A service ended while steps ran, and is started again.
    ServiceEnded {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Its name.
        service: String,
        /// The node of its pod, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<u32>,
        /// How often it has ended so far in this attempt, there.
        times: u32,
        /// How, in one line.
        reason: String,
    },
    /// A step started.
    StepStarted {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Index from 0.
        step: u32,
        /// Its name.
        name: String,
        /// Byte of the log.
        log: u64,
    },
    /// A step ended.
    StepEnded {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Index from 0.
        step: u32,
        /// Its name.
        name: String,
        /// Before `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// Exit code.
        exit: Option<i32>,
        /// One line.
        reason: Option<String>,
        /// Byte of the log.
        log: u64,
    },
    /// A step said something about a file.
    Annotated {
        /// Which instance.
        instance: InstanceId,
        /// What.
        annotation: Annotation,
    },
    /// A gate or a validation was judged.
    Judged {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Index of the step.
        step: u32,
        /// With its numbers.
        verdict: Verdict,
    },
    /// A baseline was fetched for a gate.
    BaselineFetched {
        /// Which instance.
        instance: InstanceId,
        /// As asked.
        baseline: String,
        /// As found.
        found: crate::gate::Baseline,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// With or, for `lost`, made up by the engine.
        receipt: Arc<Receipt>,
    },
    /// The cluster told which images an attempt's containers ran when its receipt was here already. Where the last jobs of a
    /// run are shorter than it takes a node to say so, it follows the run's end.
    ImagesTold {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Container and `NAME@DIGEST`, all of them.
        images: Arc<BTreeMap<String, String>>,
    },
    /// It will be tried again.
    RetryScheduled {
        /// Which instance.
        instance: InstanceId,
        /// When.
        due: Millis,
        /// The class that is tried again.
        class: FailureClass,
        /// Whether the infrastructure budget pays.
        infra: bool,
        /// Memory in bytes for the next attempt, where `oom` raised it.
        memory: Option<u64>,
        /// Index of the step whose own `resources` that is about; `None`: the job's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
    },
    /// An instance has its final result.
    InstanceEnded {
        /// Which.
        instance: InstanceId,
        /// Before the job's `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// Outputs of a called workflow; for steps they are in the receipt.
        outputs: BTreeMap<String, String>,
    },
    /// A job has its final result.
    JobEnded {
        /// Which.
        job: JobId,
        /// What `needs.<job>.result` says.
        result: Conclusion,
    },
    /// Somebody or something wants the run to end.
    CancelRequested {
        /// Who or what: `ctrl-c`, `concurrency group x`, `runs cancel`.
        reason: String,
        /// Without `always()` steps and grace.
        force: bool,
    },
    /// A `cancel` was sent to an attempt.
    AttemptCancelled {
        /// Which instance.
        instance: InstanceId,
        /// The attempt.
        attempt: u32,
        /// Why: `fail-fast`, `cancelled`.
        reason: String,
    },
    /// Last event of every log; only [`EventKind::ImagesTold`] may follow.
    RunEnded(Box<RunSummary>),
}

/// What the run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    /// ULID.
    pub run: String,
    /// For people.
    pub number: u64,
    /// Semantics of this log: a run resumes only under its own.
    pub semantics: u32,
    /// Path of the workflow file in the project.
    pub workflow: String,
    /// `name`.
    pub name: String,
    /// Evaluated `run-name`.
    pub run_name: Option<String>,
    /// Digests of the texts of the workflow and all workflows it calls, by path.
    pub texts: BTreeMap<String, String>,
    /// The event's name and payload.
    pub event: String,
    /// See `event`.
    pub payload: Json,
    /// `github`, `inputs`, `vars`, `data` and other contexts that stay the same for the run.
    pub contexts: BTreeMap<String, Json>,
    /// The tree.
    pub source: crate::job::SourceSpec,
    /// The run this one reruns.
    pub rerun_of: Option<String>,
    /// Workflow-level concurrency group, evaluated, and whether it cancels.
    pub concurrency: Option<ConcurrencyGroup>,
    /// Options that change what runs: `--job`, `--matrix`, back end.
    pub options: BTreeMap<String, Json>,
    /// The jobs of the root workflow in file order.
    pub jobs: Vec<Arc<JobDeclared>>,
    /// Whose run it is, where runs of several projects share a store: the repository, and in it the project's
    /// folder. Concurrency groups, caches and baselines are a project's own. Empty in a store of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
}

/// One job, before anything is evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobDeclared {
    /// Its id in its workflow file.
    pub id: String,
    /// Path of the workflow file it is written in.
    pub workflow: String,
    /// For people: `caller / inner`.
    pub display: String,
    /// The jobs it needs, by number.
    pub needs: Vec<u32>,
    /// Whether it calls a workflow.
    pub call: bool,
}

/// What `if` and `strategy` gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEvaluation {
    /// `if` is false.
    Skipped {
        /// In words, with the values: "github.ref is refs/heads/x, not refs/heads/main".
        reason: String,
    },
    /// Something could not be evaluated: the job fails.
    Failed {
        /// In words.
        reason: String,
    },
    /// It runs.
    Instances {
        /// In matrix order; exactly one without a matrix.
        instances: Vec<Arc<InstanceDeclared>>,
        /// `fail-fast`.
        fail_fast: bool,
        /// `max-parallel`.
        max_parallel: Option<u32>,
    },
}

/// One instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceDeclared {
    /// What people see.
    pub display: String,
    /// Its matrix values; null without a matrix.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub matrix: Json,
}

/// What was evaluated for an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceSettings {
    /// It can go on.
    Ready(Box<ReadySettings>),
    /// Something could not be evaluated, or is not there yet: the instance fails.
    Failed {
        /// In words.
        reason: String,
    },
}

/// The evaluated keys of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadySettings {
    /// Evaluated `name`.
    pub display: String,
    /// `continue-on-error`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continue_on_error: bool,
    /// Seconds for each attempt from its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// `retry`.
    pub retry: RetrySpec,
    /// Requests.
    #[serde(default, skip_serializing_if = "crate::job::ResourceRequest::is_empty")]
    pub resources: crate::job::ResourceRequest,
    /// Concurrency group of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyGroup>,
    /// Cache key and its parts, where `cache` is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheKey>,
    /// Content it consumes, so that the spec can be built again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumes: Vec<crate::job::ConsumeSpec>,
    /// Seconds of grace.
    pub grace_seconds: f64,
    /// `python`, of the job or the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<crate::job::PythonSpec>,
    /// `checkpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<crate::job::CheckpointSpec>,
    /// The image of `container`, of the job or the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it asks of a cluster; empty where jobs are processes.
    #[serde(default, skip_serializing_if = "crate::job::PodRequest::is_empty")]
    pub pod: crate::job::PodRequest,
    /// Name of the `environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Labels of `runs-on`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_on: Vec<String>,
    /// What people should know: keys that have no effect here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A concurrency group, evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyGroup {
    /// Its name, compared without case.
    pub group: String,
    /// Whether a newcomer ends what runs.
    pub cancel_in_progress: bool,
    /// Whether all newcomers wait (`queue: max`), instead of the last only.
    pub queue_all: bool,
}

/// A cache key and what it was made of, so that a difference can be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheKey {
    /// blake3 of the parts, hex.
    pub key: String,
    /// Part and its digest or text: `commands image environment source consumes params key version`;
    /// `project` where several share a store.
    pub parts: BTreeMap<String, String>,
}

/// What a list of runs shows, so that lists fold nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's result.
    pub conclusion: Conclusion,
    /// Whether what stopped it was a gate or a validation.
    pub gate: bool,
    /// Whether the tool or its surroundings failed.
    pub tool_failure: bool,
    /// Instances by conclusion: success, failure, cancelled, skipped.
    pub counts: [u32; 4],
    /// Instances from cache.
    pub cached: u32,
    /// Bytes of artifacts.
    pub artifact_bytes: u64,
    /// Last metrics by job, for lists and baselines: `job` → metric → number; jobs of one instance only.
    pub metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// Artifacts by job, likewise.
    pub artifacts: BTreeMap<String, BTreeMap<String, ArtifactRef>>,
    /// Milliseconds from the first event.
    pub duration_ms: u64,
}

/// For `serde`: what is as usual is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
