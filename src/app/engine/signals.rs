//! Ctrl-C, SIGTERM, SIGHUP, and SIGUSR1: somebody left a wish in the store.

use super::EngineError;
use super::turn::Incoming;
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
