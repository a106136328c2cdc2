//! `tidegate agent`: runs steps on an engine's word.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate agent`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate agent` is not built yet"))
}
