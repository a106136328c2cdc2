//! The terminal does not write `^C` into lines that are redrawn.

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Control keys are not echoed as long as this lives.
#[derive(Debug)]
pub(super) struct QuietKeys {
    before: Termios,
}

impl QuietKeys {
    /// Quiets the terminal of standard input; `None` where there is none, or where this process is
    /// in the background and would be stopped for it.
    pub(super) fn new() -> Option<Self> {
        let terminal = std::io::stdin();
        if tcgetpgrp(&terminal).ok()? != getpgrp() {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(&terminal, OptionalActions::Now, &quiet).ok()?;
        Some(Self { before })
    }
}

impl Drop for QuietKeys {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
