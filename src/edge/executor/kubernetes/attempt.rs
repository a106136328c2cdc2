//! What is known of an attempt while it has a Job.

use super::observe::{Death, Waiting};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tidegate_flow::job::{AgentRequest, FailureClass, JobMessage, JobSpec};
use tokio::time::Instant;

/// One attempt.
pub(super) struct Attempt {
    pub(super) spec: Arc<JobSpec>,
    pub(super) name: String,
    pub(super) job: Option<Job>,
    pub(super) pod: Option<Pod>,
    /// The receipt was passed on, or somebody else's word about the end.
    pub(super) over: bool,
    /// Since when its end is seen, without a receipt.
    pub(super) ended: Option<Instant>,
    /// Since when it waits for an image.
    pub(super) no_image: Option<Instant>,
    /// Why the cluster makes no pod for it, as its events say.
    pub(super) not_made: Option<Result<Waiting, Death>>,
    /// Since when its node is away.
    pub(super) node_away: Option<Instant>,
    /// The pod in which an agent came was followed by another one.
    pub(super) replaced: bool,
    /// Its pod is not there any more.
    pub(super) pod_gone: bool,
    /// An end that nobody here asked for; the cluster may say why in a moment.
    pub(super) held: Option<(JobMessage, Instant)>,
    /// A task makes its Job, and stops when it is told so.
    pub(super) starting: bool,
    pub(super) stop: Arc<AtomicBool>,
    /// The agent's question why its container ended, and when it was asked.
    pub(super) question: Option<(u64, Instant)>,
    /// When it has to be gone.
    pub(super) leave_by: Option<Instant>,
    /// What is asked of it waits until it is known what there is of it.
    pub(super) asked: Option<Vec<AgentRequest>>,
    /// An agent came.
    pub(super) agent: bool,
    pub(super) removed: bool,
    /// What it waits for, as last told.
    pub(super) waiting: Option<Waiting>,
}

impl Attempt {
    /// One that is about to start.
    pub(super) fn new(spec: Arc<JobSpec>, name: String, taken_up: bool) -> Self {
        Self {
            name,
            spec,
            job: None,
            pod: None,
            over: false,
            ended: None,
            no_image: None,
            not_made: None,
            node_away: None,
            replaced: false,
            pod_gone: false,
            held: None,
            starting: true,
            stop: Arc::default(),
            question: None,
            leave_by: None,
            asked: taken_up.then(Vec::new),
            agent: false,
            removed: false,
            waiting: None,
        }
    }
}

/// What a task of an attempt has finished.
pub(super) enum Done {
    Started {
        token: String,
        result: Result<(), (FailureClass, String)>,
    },
    /// It cannot start yet.
    Waits {
        token: String,
        reason: String,
    },
    Removed {
        token: String,
    },
}
