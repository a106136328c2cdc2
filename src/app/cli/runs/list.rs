//! `tidegate runs list`.

use super::{Format, Kept};
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::Style;
use crate::app::report::runs::{Line, list, list_json};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_edge::store::RunRow;

/// Arguments of `tidegate runs list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs list
  tidegate runs list --workflow digits --state failed -n 5
  tidegate runs list --format json")]
pub struct Args {
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Only runs of this workflow: its file's name or path
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,
    /// Only runs in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Only runs of this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only runs that this event started
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// A state of a run to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum State {
    /// It goes on.
    Running,
    /// Its engine is gone.
    Interrupted,
    /// All is good.
    Passed,
    /// A job failed, or the tool did.
    Failed,
    /// A gate said no.
    Gate,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    fn is(self, line: &Line) -> bool {
        match self {
            Self::Running => line.state() == "running",
            Self::Interrupted => line.state() == "interrupted",
            Self::Passed => matches!(line.state(), "passed" | "nothing ran"),
            Self::Failed => matches!(line.state(), "failed" | "not finished"),
            Self::Gate => line.state() == "stopped by a gate",
            Self::Cancelled => line.state() == "cancelled",
        }
    }
}

/// Lists the newest runs.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, false)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let filtered =
        args.workflow.is_some() || args.state.is_some() || args.branch.is_some() || args.event.is_some();
    let limit = if filtered { usize::MAX >> 1 } else { args.limit };
    let rows = kept.newest(limit)?.into_iter();
    let wanted = |row: &RunRow| {
        args.workflow.as_ref().is_none_or(|name| is_of(row, name))
            && args.branch.as_ref().is_none_or(|branch| row.branch == *branch)
            && args.event.as_ref().is_none_or(|event| row.event == *event)
    };
    let lines = rows.filter(wanted).map(line);
    let lines = lines.filter(|line| args.state.is_none_or(|state| state.is(line)));
    let lines: Vec<Line> = lines.take(args.limit).collect();
    if args.format == Format::Json {
        globals.print(format!("{}\n", list_json(&lines)))?;
    } else if lines.is_empty() {
        globals.print(if filtered { "no such runs\n" } else { "no runs\n" })?;
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        globals.print(list(&lines, now, Style { color: globals.color() }))?;
    }
    Ok(Exit::Good)
}

fn is_of(row: &RunRow, name: &str) -> bool {
    let file = row.workflow.rsplit('/').next().unwrap_or_default();
    row.workflow == name || file == name || file.rsplit_once('.').is_some_and(|(stem, _)| stem == name)
}

fn line(row: RunRow) -> Line {
    Line {
        run: row.run,
        number: row.number,
        workflow: row.workflow,
        event: row.event,
        branch: row.branch,
        commit: row.commit,
        created: row.created,
        summary: row.summary,
        owner: row.owner,
    }
}
