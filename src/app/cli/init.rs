//! `tidegate init`: writes a first workflow.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate init`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate init` is not built yet"))
}
