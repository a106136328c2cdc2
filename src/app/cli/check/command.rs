//! Arguments, and the way from files to an exit code.

use super::examine::examine;
use super::inputs::collect;
use crate::app::cli::run::{DialectName, Place};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::check::{Totals, github, json, sarif, text};
use std::path::PathBuf;
use tidegate_flow::plan;
use tidegate_lang::source::Style;

/// Arguments of `tidegate check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate check                               all workflows of the project
  tidegate check .github/workflows --strict    a linter for GitHub's workflows
  tidegate check --format github               annotations for a pull request
  tidegate check --format sarif > check.sarif")]
pub struct Args {
    /// Workflow files, or folders with workflow files [default: .ml/workflows of the project]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
    /// How files are read [default: github below .github, else tidegate]
    #[arg(long, value_enum, value_name = "DIALECT")]
    dialect: Option<DialectName>,
    /// Find, too, what this back end does not do
    #[arg(long, value_enum, value_name = "PLACE")]
    on: Option<Place>,
    /// Let warnings fail the check too
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Pictures for people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitHub's annotations
    Github,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let Args { paths, format, dialect, on, strict } = args;
    let inputs = collect(&paths, globals)?;
    let place = on.map(|on| match on {
        Place::Kubernetes => plan::Place::Pods,
        Place::Container => plan::Place::Containers,
        Place::Local => plan::Place::Machine,
    });
    let files = examine(&inputs, dialect.map(Into::into), place);
    globals.print(match format {
        Format::Text => text(&files, Style { color: globals.color(), width: globals.width().unwrap_or(100) }),
        Format::Json => json(&files),
        Format::Sarif => sarif(&files),
        Format::Github => github(&files),
    })?;
    let totals = Totals::of(&files);
    let wrong = totals.errors > 0 || (strict && totals.warnings > 0);
    Ok(if wrong { Exit::Wrong } else { Exit::Good })
}
