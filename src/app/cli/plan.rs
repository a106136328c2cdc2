//! `tidegate plan`: shows what would run and why.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate plan`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate plan` is not built yet"))
}
