//! `tidegate schema`: prints the JSON Schema of workflow files.

use super::{Exit, Failure, Globals};

/// What editors read; a test holds it to what `lang::workflow::schema` makes.
const SCHEMA: &str = include_str!("../../../schema/workflow.schema.json");

/// Arguments of `tidegate schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate schema > workflow.schema.json
  # yaml-language-server: $schema=./workflow.schema.json     the first line of a workflow file")]
pub struct Args {
    /// How it is written: a JSON Schema is JSON
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

/// The only way a JSON Schema is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// JSON
    #[default]
    Json,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    match args.format {
        Format::Json => globals.print(SCHEMA)?,
    }
    Ok(Exit::Good)
}
