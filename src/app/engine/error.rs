//! Why the engine could not go on.

use tidegate_edge::git::GitError;
use tidegate_edge::store::StoreError;
use tidegate_lang::source::{Diagnostic, Sources};

/// Why a run could not be started or finished.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The workflow file has errors.
    #[error("{} has {} errors", .path, .findings.len())]
    Findings {
        /// The file.
        path: String,
        /// What is wrong.
        findings: Vec<Diagnostic>,
        /// Where.
        sources: Sources,
    },
    /// What was asked for does not fit.
    #[error("{0}")]
    Asked(String),
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store said no.
    #[error("the store cannot go on")]
    Store(#[from] StoreError),
    /// The repository said no.
    #[error("the tree cannot be read")]
    Git(#[from] GitError),
    /// The supervisor of local jobs cannot be started or reached.
    #[error("cannot run jobs on this machine")]
    Executor(#[source] std::io::Error),
    /// docker or podman will not do what it is asked.
    #[error("cannot run jobs in containers")]
    Container(#[from] tidegate_edge::executor::container::CallError),
    /// The cluster cannot be reached, or will not do what it is asked.
    #[error("cannot run jobs on the cluster")]
    Cluster(#[from] tidegate_edge::executor::kubernetes::ClusterError),
    /// The engine was told to leave the run to the next one.
    #[error("the engine left; the run goes on under the next one")]
    Left,
    /// A signal cannot be listened to.
    #[error("cannot listen to signals")]
    Signals(#[source] std::io::Error),
    /// The run's log and the engine disagree: a defect of this program.
    #[error("the run's log does not allow what the engine decided: {0}")]
    Refused(#[from] tidegate_flow::run::Refusal),
}
