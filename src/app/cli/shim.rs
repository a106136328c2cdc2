//! `tidegate shim`: the first process of a step container, which runs steps on the agent's word.

use super::{Exit, Failure, Globals};
use signal_hook::consts::SIGTERM;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tidegate_edge::agent::{remove_folder, serve};

/// Arguments of `tidegate shim`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's socket
    #[arg(long, value_name = "PATH", required_unless_present_any = ["env", "clear"])]
    socket: Option<PathBuf>,
    /// Become another program instead, with variables that this file names: a JSON object
    #[arg(long, value_name = "FILE", conflicts_with = "socket", requires = "program")]
    env: Option<PathBuf>,
    /// Remove a folder instead, as a user who may
    #[arg(long, value_name = "DIR", conflicts_with_all = ["socket", "env"])]
    clear: Option<PathBuf>,
    /// The other program and its arguments
    #[arg(last = true)]
    program: Vec<OsString>,
    /// Seconds to wait for the agent
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

/// Runs the command; its exit code is what the agent says.
pub fn run(args: Args, _: &Globals) -> Result<ExitCode, Failure> {
    if let Some(file) = &args.env {
        return Err(become_other(file, &args.program));
    }
    if let Some(folder) = &args.clear {
        remove_folder(folder);
        return Ok(Exit::Good.into());
    }
    let socket = args.socket.unwrap_or_default();
    // The first process of a container hears only signals that it listens to.
    let listening = |e| Failure::tool("listening for signals").caused_by(&e);
    let (told, leaving) = UnixStream::pair().map_err(listening)?;
    signal_hook::low_level::pipe::register(SIGTERM, told).map_err(listening)?;
    let code = serve(&socket, Duration::from_secs(args.patience), &leaving)
        .map_err(|e| Failure::tool("the steps of this container cannot go on").caused_by(&e))?;
    Ok(if code == 0 { Exit::Good.into() } else { ExitCode::from(code) })
}

/// Gives this process to another program; returns only why it cannot.
fn become_other(file: &Path, program: &[OsString]) -> Failure {
    let read = || -> std::io::Result<BTreeMap<String, String>> {
        serde_json::from_slice(&std::fs::read(file)?).map_err(std::io::Error::other)
    };
    let env = match read() {
        Ok(env) => env,
        Err(error) => return Failure::tool(format!("cannot read {}", file.display())).caused_by(&error),
    };
    let Some((name, args)) = program.split_first() else {
        return Failure::wrong("the image starts nothing by itself: give the service a `command`");
    };
    let error = Command::new(name).args(args).envs(env).exec();
    Failure::tool(format!("cannot start {}", name.display())).caused_by(&error)
}
