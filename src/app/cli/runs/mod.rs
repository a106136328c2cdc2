//! `tidegate runs`: lists, shows, watches, cancels, reruns and compares runs.

use super::{Exit, Failure, Globals};

/// Arguments of `tidegate runs`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _globals: &Globals) -> Result<Exit, Failure> {
    Err(Failure::tool("`tidegate runs` is not built yet"))
}
