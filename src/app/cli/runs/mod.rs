//! `tidegate runs`: lists, shows, watches, cancels, reruns and compares runs, hands out what they kept, and frees what old
//! ones left.

mod cancel;
mod chosen;
mod diff;
mod download;
mod gc;
mod kept;
mod list;
mod logs;
mod rerun;
mod show;
mod there;
mod watch;

use super::{Exit, Failure, Globals};

pub(super) use diff::texts;
pub(super) use gc::keep_age;
pub(super) use kept::{Format, Kept};

/// Arguments of `tidegate runs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs list
  tidegate runs show 7
  tidegate runs logs 7 train
  tidegate runs download 7 --name model
  tidegate runs rerun 7 --failed
  tidegate runs diff 6 7
  tidegate runs gc --dry-run")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the newest runs
    List(list::Args),
    /// Show one run: its jobs, what they measured and kept, and why some failed
    Show(show::Args),
    /// Print what steps wrote
    Logs(logs::Args),
    /// Follow a run that goes on elsewhere
    Watch(watch::Args),
    /// Ask the owner of a run to end it
    Cancel(cancel::Args),
    /// Run again, keeping what is good
    Rerun(rerun::Args),
    /// Compare metrics, parameters, artifacts and commands of two runs
    Diff(diff::Args),
    /// Lay artifacts of a run into a folder
    Download(download::Args),
    /// Free what only old runs needed: artifacts, trees, logs
    Gc(gc::Args),
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    match args.command {
        Command::List(args) => list::run(&args, globals),
        Command::Show(args) => show::run(&args, globals),
        Command::Logs(args) => logs::run(&args, globals),
        Command::Watch(args) => watch::run(&args, globals),
        Command::Cancel(args) => cancel::run(&args, globals),
        Command::Rerun(args) => rerun::run(&args, globals),
        Command::Diff(args) => diff::run(&args, globals),
        Command::Download(args) => download::run(&args, globals),
        Command::Gc(args) => gc::run(&args, globals),
    }
}
