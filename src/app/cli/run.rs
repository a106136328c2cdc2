//! `tidegate run`: runs a workflow on this machine.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate run` is not built yet"))
}
