//! `tidegate eval`: evaluates an expression.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate eval`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate eval` is not built yet"))
}
