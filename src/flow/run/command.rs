//! What the engine is told to do, and why something was refused.

use super::{EventKind, InstanceId, JobId};

/// One thing to do. `decide` is level-triggered: it names a command as long as the log lacks the
/// event that answers it, so the engine keeps what is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Evaluate `if` and `strategy`; answered by [`EventKind::JobEvaluated`].
    EvaluateJob(JobId),
    /// Evaluate the instance's keys; answered by [`EventKind::InstanceEvaluated`].
    EvaluateInstance(InstanceId),
    /// Load and link the called workflow; answered by [`EventKind::JobsAdded`].
    AddJobs(InstanceId),
    /// Ask the cache; answered by [`EventKind::CacheAnswered`].
    AskCache(InstanceId),
    /// Ask for the concurrency group and capacity; answered by [`EventKind::SlotGranted`].
    RequestSlot(InstanceId),
    /// Ask for the concurrency group of the run (`None`) or of a calling instance; answered by
    /// [`EventKind::GroupGranted`].
    RequestGroup(Option<InstanceId>),
    /// Start an attempt; answered by [`EventKind::AttemptStarted`].
    StartAttempt {
        /// Which instance.
        instance: InstanceId,
        /// From 1.
        attempt: u32,
    },
    /// Tell an attempt to stop; answered by [`EventKind::AttemptCancelled`].
    CancelAttempt {
        /// Which instance.
        instance: InstanceId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: String,
        /// At once, without `always()` steps.
        force: bool,
    },
    /// Evaluate the outputs of a called workflow whose jobs have all ended; answered by
    /// [`EventKind::InstanceEnded`].
    EndCall(InstanceId),
    /// Append this decision: retries, ends of instances, jobs and of the run.
    Record(EventKind),
}

/// Why what came in is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message is of an attempt that is over.
    #[error("attempt {attempt} of instance {instance} is over")]
    OldAttempt {
        /// Which instance.
        instance: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// The log says it already: another engine heard it, too.
    #[error("the log has it already")]
    Known,
    /// The run is over.
    #[error("the run has ended")]
    Ended,
    /// It does not fit what the log says.
    #[error("{0}")]
    Illegal(String),
}
