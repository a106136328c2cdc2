//! `tidegate shim`: the first process of a step container, which runs steps on the agent's word.

use super::{Exit, Failure, Globals};
use signal_hook::consts::SIGTERM;
use std::os::unix::net::UnixStream;
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
    // The first process of a container hears only signals that it listens to.
    let listening = |e| Failure::tool("listening for signals").caused_by(&e);
    let (told, leaving) = UnixStream::pair().map_err(listening)?;
    signal_hook::low_level::pipe::register(SIGTERM, told).map_err(listening)?;
    let code = serve(&args.socket, Duration::from_secs(args.patience), &leaving)
        .map_err(|e| Failure::tool("the steps of this container cannot go on").caused_by(&e))?;
    Ok(if code == 0 { Exit::Good.into() } else { ExitCode::from(code) })
}
