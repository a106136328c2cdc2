//! Who watches a run while it goes on.

use std::time::Duration;
use tidegate_flow::run::RunEvent;

/// Sees every event after it is in the log. What an observer cannot do never stops a run.
pub trait Observer {
    /// An event is in the log.
    fn event(&mut self, event: &RunEvent);

    /// An instance printed a line.
    fn tail(&mut self, instance: u32, line: &str) {
        let _ = (instance, line);
    }

    /// Something the person should know that belongs to no event.
    fn warn(&mut self, text: &str);

    /// All events of this turn were seen.
    fn turn(&mut self) {}

    /// How often [`Observer::turn`] is wanted while nothing happens.
    fn interval(&self) -> Option<Duration> {
        None
    }
}
