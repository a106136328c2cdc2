//! `tidegate run`: runs a workflow on this machine.

mod args;
mod command;
mod watch;

pub use args::Args;
pub(super) use args::{Format, secrets_of};
pub(super) use command::launch;
pub use command::run;
