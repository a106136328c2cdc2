//! `tidegate check`: says everything that is wrong in workflow files.

mod command;
mod examine;
mod inputs;

pub use command::{Args, run};
