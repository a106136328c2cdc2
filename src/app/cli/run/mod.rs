//! `tidegate run`: runs a workflow on this machine.

mod args;
mod command;
mod keys;
mod watch;

pub use args::Args;
pub(super) use args::{DialectName, Format, secrets_of};
pub(super) use command::launch;
pub use command::run;
pub(super) use watch::Watch;
