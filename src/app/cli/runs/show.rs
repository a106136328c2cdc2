//! `tidegate runs show`.

use super::{Format, Kept};
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::runs::{show, show_json};
use crate::app::report::{RunView, Style};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::run::Millis;

/// Arguments of `tidegate runs show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs show                    the newest run
  tidegate runs show 7
  tidegate runs show 7 --format json    with steps, verdicts, metrics and artifacts")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Shows one run.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, false)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    let events = kept.events(&row, 0)?;
    let mut view = RunView::default();
    events.iter().for_each(|event| view.apply(event));
    let running = row.owner.is_some() && view.summary.is_none();
    let objects = kept.store.file_objects();
    // What pods made lies at their hub, which is not asked here.
    let at_hub = view.created.options.get("on").is_some_and(|on| on == "kubernetes");
    let gone = |artifact: &ArtifactRef| !at_hub && !objects.has(&artifact.digest);
    let text = match args.format {
        Format::Json => format!("{}\n", show_json(&view, running, &gone)),
        Format::Text => {
            let lines = |instance, attempt, from, to| kept.last_lines(&view, instance, attempt, from, to);
            let before = kept.blank(globals, &row);
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            show(before, &events, running, now, Style { color: globals.color() }, &lines, &gone)
        }
    };
    globals.print(text)?;
    Ok(Exit::Good)
}
