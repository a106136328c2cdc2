//! `tidegate runs rerun`.

use super::Kept;
use crate::app::cli::{Exit, Failure, Globals};

/// Arguments of `tidegate runs rerun`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// Only what did not succeed, and what needs it
    #[arg(long, conflicts_with = "from")]
    failed: bool,
    /// Only these jobs, and what needs them
    #[arg(long, value_name = "JOB")]
    from: Vec<String>,
}

/// Runs again.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    let _ = (&args.failed, &args.from);
    Err(Failure::tool(format!("run {} cannot be run again yet", row.number)))
}
