//! `tidegate plan`: shows what would run and why, and starts nothing.

mod command;
mod manifests;
mod past;

pub use command::{Args, run};
