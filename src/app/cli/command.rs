//! The command line as a whole: the list of commands, and how each ends.

use super::{Exit, Failure, Globals};
use super::{
    agent, check, completions, elsewhere, engine, eval, hub, init, install, plan, run, runs, schema, shim,
    why,
};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// GitHub Actions-style workflows for machine learning: what flows through is a model, and every
/// gate on the way opens only when the numbers are good enough.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  tidegate init               write a first workflow for this project
  tidegate run                run the project's only workflow
  tidegate check              say everything that is wrong in .ml/workflows
  tidegate plan --event push  show what a push would start, and why
  tidegate runs list          show what ran

Exit codes: 0 good, 1 a job failed, 2 the file or the arguments are wrong, 3 a gate said no,
4 the tool or its surroundings failed, 5 cancelled, 6 inconclusive.")]
pub(super) struct CommandLine {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong in workflow files
    Check(check::Args),
    /// Show what would run and why, without running it
    Plan(plan::Args),
    /// Run a workflow on this machine
    Run(Box<run::Args>),
    /// List, show, watch, cancel, rerun and compare runs
    Runs(runs::Args),
    /// Say why a job ran, was skipped, was cached or failed
    Why(why::Args),
    /// Evaluate an expression
    Eval(eval::Args),
    /// Print the JSON Schema of workflow files
    Schema(schema::Args),
    /// Write a first workflow for the project that is here
    Init(init::Args),
    /// Put an engine into a cluster, for `run --detach`
    Install(install::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Run steps on an engine's word
    #[command(hide = true)]
    Agent(agent::Args),
    /// Be the first process of a step container
    #[command(hide = true)]
    Shim(shim::Args),
    /// Keep messages and objects between agents and engines elsewhere
    #[command(hide = true)]
    Hub(hub::Args),
    /// Be the engine of a cluster's namespace
    #[command(hide = true)]
    Engine(engine::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return refused(&error),
    };
    let mut globals = line.globals;
    globals.started = globals.directory.as_ref().and_then(|_| std::env::current_dir().ok());
    if let Some(directory) = &globals.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        let failure = Failure::wrong(format!("cannot work in {}", directory.display())).caused_by(&error);
        return failed(&failure, &globals);
    }
    if globals.attached.is_some()
        && let Err(error) = elsewhere::end_with_input()
    {
        return failed(&Failure::tool("starting a thread").caused_by(&error), &globals);
    }
    match line.command.run(&globals) {
        Ok(code) => code,
        Err(failure) => failed(&failure, &globals),
    }
}

/// Returns the whole command line for completions.
pub(super) fn definition() -> clap::Command {
    CommandLine::command()
}

impl Command {
    fn run(self, globals: &Globals) -> Result<ExitCode, Failure> {
        let exit = match self {
            Self::Check(args) => check::run(args, globals),
            Self::Plan(args) => plan::run(args, globals),
            Self::Run(args) => run::run(*args, globals),
            Self::Runs(args) => runs::run(args, globals),
            Self::Why(args) => why::run(args, globals),
            Self::Eval(args) => eval::run(args, globals),
            Self::Schema(args) => schema::run(args, globals),
            Self::Init(args) => init::run(args, globals),
            Self::Completions(args) => completions::run(args, globals),
            Self::Agent(args) => agent::run(args, globals),
            // What ends a step container is the agent's word, not one of our codes.
            Self::Shim(args) => return shim::run(args, globals),
            Self::Hub(args) => hub::run(args, globals),
            Self::Engine(args) => engine::run(args, globals),
            Self::Install(args) => install::run(args, globals),
        }?;
        Ok(exit.into())
    }
}

/// Shows help and version on standard output, wrong arguments on standard error.
fn refused(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    let plain = error.render().to_string();
    let globals = Globals::default();
    if error.use_stderr() {
        globals.warn(if globals.color_errors() { text } else { plain });
        return Exit::Wrong.into();
    }
    match globals.print(if globals.color() { text } else { plain }) {
        Ok(()) => Exit::Good.into(),
        Err(failure) => failed(&failure, &globals),
    }
}

fn failed(failure: &Failure, globals: &Globals) -> ExitCode {
    let text = failure.render(globals.color_errors());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    failure.exit().into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::definition().debug_assert();
    }
}
