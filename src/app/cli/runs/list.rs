//! `tidegate runs list`.

use super::{Format, Kept};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::Style;
use crate::app::report::runs::{Line, list, list_json};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_edge::store::RunRow;

/// Arguments of `tidegate runs list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Only runs of this workflow: its file's name or path
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Lists the newest runs.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let kept = Kept::open(globals)?;
    let limit = if args.workflow.is_some() { usize::MAX >> 1 } else { args.limit };
    let rows = kept.newest(limit)?.into_iter();
    let rows = rows.filter(|row| args.workflow.as_ref().is_none_or(|name| is_of(row, name)));
    let lines: Vec<Line> = rows.take(args.limit).map(line).collect();
    if args.format == Format::Json {
        globals.print(format!("{}\n", list_json(&lines)))?;
    } else if lines.is_empty() {
        globals.print("no runs\n")?;
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
