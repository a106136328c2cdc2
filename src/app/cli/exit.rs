//! The exit codes of every command.

use std::process::ExitCode;
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::RunSummary;

/// How a command ended, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: good.
    Good,
    /// 1: a job failed.
    JobFailed,
    /// 2: the file or the arguments are wrong.
    Wrong,
    /// 3: a gate said no.
    Gate,
    /// 4: the tool or its surroundings failed.
    Tool,
    /// 5: cancelled.
    Cancelled,
    /// 6: inconclusive.
    Inconclusive,
}

impl Exit {
    /// Returns how a run's end is told.
    pub fn of(summary: &RunSummary) -> Self {
        match summary.conclusion {
            Conclusion::Success | Conclusion::Skipped => Self::Good,
            Conclusion::Cancelled => Self::Cancelled,
            Conclusion::Failure if summary.gate => Self::Gate,
            Conclusion::Failure if summary.tool_failure => Self::Tool,
            Conclusion::Failure => Self::JobFailed,
        }
    }

    /// Reads the number that another process of this program ended with; one that was killed has none.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            0 => Self::Good,
            1 => Self::JobFailed,
            2 => Self::Wrong,
            3 => Self::Gate,
            4 => Self::Tool,
            5 => Self::Cancelled,
            6 => Self::Inconclusive,
            _ => return None,
        })
    }

    /// Returns the number that scripts see.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::JobFailed => 1,
            Self::Wrong => 2,
            Self::Gate => 3,
            Self::Tool => 4,
            Self::Cancelled => 5,
            Self::Inconclusive => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
