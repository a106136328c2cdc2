//! `tidegate schema`: prints the JSON Schema of workflow files.

use super::{Exit, Failure, Globals};

/// What editors read; a test holds it to what `lang::workflow::schema` makes.
const SCHEMA: &str = include_str!("../../../schema/workflow.schema.json");

/// Arguments of `tidegate schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, globals: &Globals) -> Result<Exit, Failure> {
    globals.print(SCHEMA)?;
    Ok(Exit::Good)
}
