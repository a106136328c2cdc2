//! Ctrl-C, SIGTERM, SIGHUP, and SIGUSR1: somebody left a wish in the store, or moved in its line.

use super::EngineError;
use super::turn::Incoming;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::sync::mpsc::Sender;

/// Listens on a thread of its own until the process ends.
pub(super) fn listen(to: Sender<Incoming>) -> Result<(), EngineError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1]).map_err(EngineError::Signals)?;
    let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10);
    thread
        .spawn(move || {
            for signal in &mut signals {
                let message = match signal {
                    SIGUSR1 => Incoming::Wishes,
                    SIGINT => Incoming::Stop("ctrl-c"),
                    SIGHUP => Incoming::Stop("the terminal was closed"),
                    _ => Incoming::Stop("asked to terminate"),
                };
                if to.send(message).is_err() {
                    return;
                }
            }
        })
        .map_err(EngineError::Signals)?;
    Ok(())
}

/// Tells the engine of another process to look into the store. One that has ended just now has
/// nothing to look for, and one of another user looks by itself.
pub(super) fn wake(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::USR1);
    }
}
