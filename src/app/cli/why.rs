//! `tidegate why`: says why a job ran, was skipped, was cached or failed.

use super::runs::{Format, Kept};
use super::{Exit, Failure, Globals};
use crate::app::report::Style;
use crate::app::report::why::{answer, text};
use tidegate_edge::store::RunLog as _;
use tidegate_flow::run::{EventKind, RunEvent};

/// Earlier runs that are looked at to find one of the same workflow.
const EARLIER: usize = 200;

/// Arguments of `tidegate why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job's id
    job: String,
    /// Number or ULID of the run; without it, the newest
    run: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    let events = kept.events(&row, 0)?;
    let rows = kept.newest(EARLIER)?;
    let before = rows.iter().find(|other| other.number < row.number && other.workflow == row.workflow);
    let before = before.map(|row| kept.events(row, 0)).transpose()?;
    let number = |ulid: &str| kept.store.find(ulid).ok().flatten().map(|row| row.number);
    let Some(answer) = answer(&events, before.as_deref(), &args.job, &number) else {
        return Err(no_such_job(&args.job, row.number, &events));
    };
    globals.print(match args.format {
        Format::Json => serde_json::to_string(&answer).map(|text| text + "\n").unwrap_or_default(),
        Format::Text => text(&answer, Style { color: globals.color() }),
    })?;
    Ok(Exit::Good)
}

fn no_such_job(job: &str, run: u64, events: &[RunEvent]) -> Failure {
    let jobs: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::RunCreated(created) => Some(&created.jobs),
            EventKind::JobsAdded { jobs, .. } => Some(jobs),
            _ => None,
        })
        .flatten()
        .map(|job| job.id.as_str())
        .collect();
    Failure::wrong(format!("run {run} has no job `{job}`")).hint(format!("its jobs: {}", jobs.join(", ")))
}
