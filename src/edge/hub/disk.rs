//! A hub whose own disk takes nothing: its engines hear of it, and hear again when it does.
//!
//! Meanwhile messages go on to engines that are there, logs wait at their agents, and objects are refused.

use super::server::{Hub, changed};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::wire::v1::FromHub;

/// How often it is looked whether the disk takes something again.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes that have to fit: a few messages and some of a log.
const ENOUGH: usize = 1 << 20;

impl Hub {
    /// The disk took something, or it did not: engines hear of a change, and it is looked at until it is over.
    pub(super) fn disk_is(self: &Arc<Self>, problem: Option<&io::Error>) {
        let problem = problem.map(ToString::to_string);
        let full = problem.is_some();
        {
            let state = &mut *self.state();
            if !changed(&mut state.disk_problem, problem.as_ref()) {
                return;
            }
            state.tell(&FromHub::Disk { problem });
        }
        if full {
            let hub = self.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    if hub.takes_something() {
                        return hub.disk_is(None);
                    }
                }
            });
        }
    }

    fn takes_something(&self) -> bool {
        let path = self.attempts.join("room");
        let taken = std::fs::write(&path, vec![1; ENOUGH]);
        let _ = std::fs::remove_file(&path);
        taken.is_ok()
    }
}
