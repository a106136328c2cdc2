//! `tidegate runs cancel`.

use super::kept::reading;
use super::{Format, Kept};
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::{Exit, Failure, Globals};
use serde_json::json;
use tidegate_edge::store::RunLog as _;

/// Arguments of `tidegate runs cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs cancel          the newest run: its `always()` steps still run
  tidegate runs cancel 7 --now  at once")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// At once: no `always()` steps, no grace
    #[arg(long)]
    now: bool,
    /// Said in the log
    #[arg(long, default_value = "runs cancel")]
    reason: String,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Leaves a wish for the owner of a run, and wakes it.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, false)? {
        return Ok(exit);
    }
    let mut kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    let number = row.number;
    if row.summary.is_some() {
        return Err(Failure::wrong(format!("run {number} has ended")));
    }
    let Some(owner) = row.owner else {
        return Err(Failure::wrong(format!("nobody runs run {number}: its engine is gone"))
            .hint(format!("`tidegate run --resume {number}` takes it up again")));
    };
    let wish = if args.now { "kill" } else { "cancel" };
    kept.store.request(&row.run, wish, &args.reason).map_err(|error| reading(&error))?;
    let pid = i32::try_from(owner).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may end by itself just now; then there is nobody to wake, and nothing to cancel.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::USR1);
    }
    globals.print(match args.format {
        Format::Json => {
            format!("{}\n", json!({ "run": row.run, "number": number, "asked": wish, "owner": owner }))
        }
        Format::Text => {
            format!(
                "asked process {owner} to {wish} run {number}\ntidegate runs watch {number}{}\n",
                globals.elsewhere()
            )
        }
    })?;
    Ok(Exit::Good)
}
