//! Arguments, and which of the two parts this process is.

use super::{one, serve};
use crate::app::cli::{Exit, Failure, Globals};
use std::path::PathBuf;

/// Arguments of `tidegate engine`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tidegate's own image
    #[arg(long, value_name = "IMAGE")]
    pub agent_image: String,
    /// Who holds the right to be the engine: the pod's UID
    #[arg(long, value_name = "UID", env = "TIDEGATE_HOLDER")]
    pub holder: String,
    /// Carry out one run, whose request comes on standard input
    #[arg(long, value_name = "ULID")]
    pub run: Option<String>,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let store = globals.store.clone().unwrap_or_else(|| PathBuf::from(".tidegate"));
    match &args.run {
        Some(run) => one::run(&args, run, &store, globals),
        None => serve::run(&args, &store, globals),
    }
}
