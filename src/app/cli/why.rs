//! `tidegate why`: says why a job ran, was skipped, was cached or failed.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate why`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate why` is not built yet"))
}
