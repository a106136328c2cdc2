//! The loop that decides and acts: the only room that does.
//!
//! One thread, one channel: messages of agents, signals, wishes of other processes, and due times.
//! All that waits is admitted together, appended together, applied; then `decide` names what to do
//! and it is carried out. Not here: what follows from what (`flow::run`), how it is shown
//! (`report`).

mod act;
mod back_end;
mod caches;
mod calls;
mod clock;
mod contexts;
mod error;
mod evaluate;
mod gates;
mod happening;
mod hear;
mod line;
mod load;
mod machine;
mod observer;
mod request;
mod resume;
mod signals;
pub mod sources;
mod start;
mod submission;
mod turn;

pub use back_end::{BackEnd, ClusterSettings, ContainerSettings};
pub use error::EngineError;
pub use happening::Happening;
pub use load::{Loaded, load, load_action, not_there};
pub use machine::{Machine, Site};
pub use observer::Observer;
pub use request::{Rerun, RunRequest};
pub use submission::{Refused, Submitted, accept, is_ulid, submit};
pub use turn::{Door, Engine, Finished};
