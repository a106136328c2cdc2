//! `tidegate runs watch`.

use super::kept::exit;
use super::{Format, Kept};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::terminal::Plain;
use crate::app::report::{RunView, Style, json};
use std::time::Duration;

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(150);

/// Arguments of `tidegate runs watch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// How to answer; JSON has an event a line
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Follows a run to its end, and ends as it does.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let kept = Kept::open(globals)?;
    let found = kept.find(args.run.as_deref())?;
    let mut plain = Plain::new(Style { color: globals.color() });
    let (mut view, mut position) = (RunView::default(), 0_u64);
    loop {
        // Asked before reading: what a living owner wrote last is read in the next round.
        let alive = kept.find(Some(&found.run))?.owner.is_some();
        let events = kept.events(&found, position)?;
        let mut text = String::new();
        for event in &events {
            position += 1;
            view.apply(event);
            let lines = |instance, attempt, from, to| kept.last_lines(&view, instance, attempt, from, to);
            text.push_str(&match args.format {
                Format::Json => json::line(event),
                Format::Text => plain.event(&view, event, &lines),
            });
        }
        globals.print(text)?;
        if let Some(summary) = &view.summary {
            return Ok(exit(summary));
        }
        if !alive && events.is_empty() {
            globals.warn(format!(
                "run {0} was interrupted: its engine is gone; `tidegate run --resume {0}` goes on from here\n",
                found.number
            ));
            return Ok(Exit::Inconclusive);
        }
        std::thread::sleep(PAUSE);
    }
}
