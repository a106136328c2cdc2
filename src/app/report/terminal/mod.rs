//! A run on a terminal: live, or one plain line per event, and how it ended.
//!
//! Not here: lists and details of earlier runs (`report/runs`).

mod ending;
mod failure;
mod live;
mod plain;
mod row;
mod transfer;

pub use ending::{ending, quoted};
pub use failure::logs;
pub use live::Live;
pub use plain::Plain;
pub use row::why_not;
pub use transfer::Transfer;

/// Reads the last lines of an attempt's log between two bytes: instance, attempt, from, to.
pub type LastLines<'a> = dyn Fn(u32, u32, u64, u64) -> Vec<String> + 'a;
