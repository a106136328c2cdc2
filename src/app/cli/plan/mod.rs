//! `tidegate plan`: shows what would run and why, and starts nothing.

mod command;
mod past;

pub use command::{Args, run};
