//! Arguments, one file a command; each returns an [`Exit`] or a [`Failure`].
//!
//! Not here: what the commands do (`engine`), how it is shown (`report`), where things are
//! (`config`).

mod agent;
mod check;
mod command;
mod completions;
mod elsewhere;
mod engine;
mod eval;
mod exit;
mod failure;
mod globals;
mod hub;
mod init;
mod install;
mod plan;
mod run;
mod runs;
mod schema;
mod shim;
mod store_trouble;
mod trees;
mod why;

pub use command::main;
pub use exit::Exit;
pub use failure::{Failure, FailureKind};
pub use globals::{ColorChoice, Globals};
