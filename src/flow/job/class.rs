//! How an attempt, a step, a job or a run can end.

use serde::{Deserialize, Serialize};

/// GitHub's four conclusions ("steps context", `outcome` and `conclusion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// It did what it should.
    Success,
    /// It did not.
    Failure,
    /// It was told to stop.
    Cancelled,
    /// It was not started.
    Skipped,
}

/// Why an attempt failed: one word each, the same in `retry.on`, in logs and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The user's program.
    Failure,
    /// `timeout-minutes` of the job or a step.
    Timeout,
    /// Killed for memory.
    Oom,
    /// Evicted, drained, spot taken back.
    Preempted,
    /// The agent, supervisor or node is gone.
    Lost,
    /// Storage limit or full disk.
    Disk,
    /// The image cannot be pulled.
    Image,
    /// No place fits.
    Unschedulable,
    /// A gate or `validate` said no.
    Gate,
    /// A pinned object changed or is missing.
    Data,
}

impl FailureClass {
    /// Returns the word of the class.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::Preempted => "preempted",
            Self::Lost => "lost",
            Self::Disk => "disk",
            Self::Image => "image",
            Self::Unschedulable => "unschedulable",
            Self::Gate => "gate",
            Self::Data => "data",
        }
    }

    /// Tells whether the class has the infrastructure budget and never spends the user's attempts.
    pub fn is_infrastructure(self) -> bool {
        matches!(self, Self::Preempted | Self::Lost)
    }
}
