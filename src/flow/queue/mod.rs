//! The state machine over all runs of a store: concurrency groups, capacity, order, fairness.
//!
//! Pure: who asks and who is done is told, what follows is answered. Not here: the leases that keep
//! it between processes (`edge::store`).

mod capacity;
mod group;
mod line;
#[cfg(test)]
mod tests;

pub use capacity::{Capacity, Need};
pub use line::{Decision, Queue, Request, Standing};
