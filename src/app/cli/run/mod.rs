//! `tidegate run`: runs a workflow on this machine.

mod args;
mod command;
mod watch;

pub use args::Args;
pub use command::run;
