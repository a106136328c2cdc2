//! What is seen of a Job, its pod, its node and their events, as a failure class and words for a person. Pure.
//!
//! A job ends when its receipt arrives; what is here only explains why there is none (`death`, `rejected`), why a
//! pod does not run yet (`waiting`, `events`, `queued`), or what both say together (`seen`). `status` reads a pod's status, `words`
//! says what to change, `telling` decides when a person hears of it. Not here: watching (`watch`), what follows from it (`ends`).

mod death;
mod events;
mod queued;
mod rejected;
mod restarts;
mod seen;
mod status;
mod telling;
mod waiting;
mod words;

pub use death::{Death, death};
pub(super) use death::{disrupted, killed_agent, quote, step_memory};
pub(super) use events::{not_made, not_set_up};
pub(super) use queued::{Queued, queued};
pub(super) use restarts::{ServiceEnd, service_ends};
pub use seen::{Seen, seen};
pub(super) use seen::{is_suspended, node_is_away};
pub(super) use status::{is_set_up, steps_began};
pub(super) use telling::Telling;
pub(super) use waiting::Bound;
pub use waiting::{Waiting, waiting};
pub(super) use words::{given_up, told};
