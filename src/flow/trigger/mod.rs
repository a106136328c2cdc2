//! Does this event start this workflow, and if not, which filter said so.

mod decide;
mod facts;
mod inputs;
mod pattern;
mod schedule;

pub use decide::{Decision, NoStart, Start, decide};
pub use facts::EventFacts;
pub use inputs::{coerce, resolve_inputs};
pub use pattern::{Pattern, last_match};
pub use schedule::{ScheduleError, is_due, next_due};

#[cfg(test)]
mod tests;
