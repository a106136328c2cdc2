//! `tidegate runs watch`.

use super::Kept;
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::run::{Format, Watch};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::engine::Observer as _;
use crate::app::report::InstanceState;
use std::time::{Duration, Instant};

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// An engine in a cluster takes its runs up by itself; it is waited for this long.
const TAKEN_UP: Duration = Duration::from_mins(2);

/// Arguments of `tidegate runs watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs watch                    the newest run
  tidegate runs watch 7 --format json    its events, one a line")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// How to answer; JSON has an event a line
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Follows a run to its end, as `run` shows it, and ends as it does.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, true)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let found = kept.find(args.run.as_deref())?;
    let mut watch = Watch::new(globals, args.format);
    watch.project(&kept.project);
    let mut position = 0_u64;
    let patience = if globals.attached.is_some() { TAKEN_UP } else { Duration::ZERO };
    let mut seen = Instant::now();
    loop {
        // Asked before reading: what a living owner wrote last is read in the next round.
        let alive = kept.find(Some(&found.run))?.owner.is_some();
        let events = kept.events(&found, position)?;
        for event in &events {
            position += 1;
            watch.event(event);
        }
        if args.format == Format::Text {
            tails(&kept, &mut watch);
        }
        watch.turn();
        if let Some(summary) = &watch.view().summary {
            let exit = Exit::of(summary);
            watch.end()?;
            return Ok(exit);
        }
        if alive || !events.is_empty() {
            seen = Instant::now();
        } else if seen.elapsed() >= patience {
            watch.stop();
            globals.warn(format!(
                "run {} was interrupted: its engine is gone; `{}` goes on from here\n",
                found.number,
                watch.view().next(&format!("run --resume {}", found.number))
            ));
            return Ok(Exit::Inconclusive);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Gives the last line that each running instance printed.
fn tails(kept: &Kept, watch: &mut Watch) {
    let mut last = Vec::new();
    for (index, instance) in (0..).zip(&watch.view().instances) {
        if instance.state == InstanceState::Running {
            last.push((index, kept.last_lines(watch.view(), index, instance.attempt, 0, 0).pop()));
        }
    }
    for (index, line) in last {
        if let Some(line) = line {
            watch.tail(index, &line);
        }
    }
}
