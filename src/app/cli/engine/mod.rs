//! `tidegate engine`: the engine of a cluster's namespace. `serve` takes requests in and starts a process for
//! each run, `one` is such a process, `process` the first's view of it, `word` what they say to each other.

mod collect;
mod command;
mod one;
mod process;
mod serve;
mod word;

pub use command::{Args, run};
