//! `tidegate schema`: prints the JSON Schema of workflow files.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate schema` is not built yet"))
}
