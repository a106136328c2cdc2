//! `tidegate plan`: shows what would run and why, and starts nothing.

mod command;
mod event;
mod load;

pub use command::{Args, run};
