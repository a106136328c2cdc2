//! What old runs hold goes: `runs gc`, in a process beside the engine, for its store and for the hub.

use super::process::Heard;
use crate::app::report::bytes;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// When it is done first: what was under way before the engine started comes first.
pub(super) const FIRST: Duration = Duration::from_mins(1);
/// How often it is done then.
pub(super) const AGAIN: Duration = Duration::from_hours(24);

/// Starts it, on a thread; what came of it is heard. Killed with the engine, it leaves a store that is whole.
pub(super) fn start(store: &Path, keep: &str, to: UnboundedSender<Heard>) -> std::io::Result<()> {
    let (store, keep) = (store.to_owned(), keep.to_owned());
    let work = move || {
        let here = run(&store, &keep, "local").map(|said| said["freed"]["bytes"].as_u64());
        let there = run(&store, &keep, "kubernetes").map(|said| said["hub"]["removed"]["bytes"].as_u64());
        let told = |done: Result<Option<u64>, String>, place: &str| match done {
            Ok(freed) => freed.filter(|n| *n > 0).map(|n| format!("{} freed {place}", bytes(n))),
            Err(reason) => Some(format!("nothing could be freed {place}: {reason}")),
        };
        let told = [told(here, "in the engine's store"), told(there, "at the hub")];
        for text in told.into_iter().flatten() {
            let _ = to.send(Heard::Collected(format!("runs that ended more than {keep} ago: {text}")));
        }
    };
    std::thread::Builder::new().name("gc".into()).spawn(work).map(drop)
}

/// Runs the command; returns what it says.
fn run(store: &PathBuf, keep: &str, place: &str) -> Result<Json, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("--store").arg(store);
    command.args(["runs", "gc", "--keep", keep, "--on", place, "--format", "json"]);
    let done = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(said.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    serde_json::from_slice(&done.stdout).map_err(|error| error.to_string())
}
