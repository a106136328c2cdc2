//! The state machine of one run: `admit`, `apply`, `decide`.
//!
//! `admit` checks what came in and turns it into an event or refuses it; the event is appended to
//! the log; `apply` cannot fail on an admitted event and holds no policy; `decide` says what to do
//! next. An old log replays the same under new code.

mod admit;
mod apply;
mod command;
mod decide;
mod event;
mod ids;
#[cfg(test)]
mod laws;
mod references;
mod retry;
mod state;
mod summary;
#[cfg(test)]
mod tests;

pub use apply::judged_again;
pub use command::{Command, Refusal};
pub use event::*;
pub use ids::*;
pub use references::{References, pins, references};
pub use state::{InstanceState, JobState, Phase, Run, SEMANTICS};
