//! `tidegate check`: says everything that is wrong in workflow files.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate check`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate check` is not built yet"))
}
