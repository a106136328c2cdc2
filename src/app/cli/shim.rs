//! `tidegate shim`: the first process of a step container, which runs steps on the agent's word.

use super::{Exit, Failure, Globals};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tidegate_edge::agent::serve;

/// Arguments of `tidegate shim`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's socket
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Seconds to wait for the agent
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

/// Runs the command; its exit code is what the agent says.
pub fn run(args: Args, _: &Globals) -> Result<ExitCode, Failure> {
    let code = serve(&args.socket, Duration::from_secs(args.patience))
        .map_err(|e| Failure::tool("the steps of this container cannot go on").caused_by(&e))?;
    Ok(if code == 0 { Exit::Good.into() } else { ExitCode::from(code) })
}
