//! `tidegate runs logs`.

use super::chosen::{choose, name};
use super::{Format, Kept};
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::RunView;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::time::Duration;
use tidegate_edge::agent::node_log_path;
use tidegate_edge::store::RunRow;
use tidegate_flow::run::{EventKind, RunEvent};

/// Arguments of `tidegate runs logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs logs 7                                       all of run 7
  tidegate runs logs 7 train --matrix model=svm,c=0.1
  tidegate runs logs 7 train --step fit --attempt 1
  tidegate runs logs 7 train --follow                        while it runs")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// Only this job
    job: Option<String>,
    /// Only instances with these matrix values: `model=svm,c=0.1`
    #[arg(long, value_name = "K=V,…", value_delimiter = ',')]
    matrix: Vec<String>,
    /// Only this step: its name, or its number from 1
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// This attempt; without it, the last
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// The log of this one of several nodes; 0 is the attempt's own
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["step", "follow"])]
    node: u32,
    /// Go on printing while it runs
    #[arg(long, short = 'f', conflicts_with = "attempt")]
    follow: bool,
    /// How to answer; JSON has an object a line
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Prints what steps wrote.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, args.follow)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    if args.follow {
        return follow(args, globals, &kept, &row);
    }
    let events = kept.events(&row, 0)?;
    let mut view = RunView::default();
    events.iter().for_each(|event| view.apply(event));
    let chosen = choose(args.job.as_deref(), &args.matrix, &view)?;
    let many = chosen.len() > 1;
    let (mut printed, mut waits) = (false, false);
    for (index, instance) in chosen {
        let attempt = args.attempt.unwrap_or(instance.attempt);
        let Some(part) = part(args, &events, index, attempt) else { continue };
        let path = kept.log(&view, index, attempt).map(|path| node_log_path(&path, args.node));
        let name = name(&view, instance);
        if let Some(reason) = &instance.waiting {
            globals.warn(format!("{name} waits: {reason}\n"));
            waits = true;
        }
        let Some(file) = path.and_then(|path| File::open(path).ok()) else {
            continue;
        };
        if many && args.format == Format::Text {
            globals.print(format!("{}── {name}\n", if printed { "\n" } else { "" }))?;
        }
        printed = true;
        let copied = copy(file, part, args.format, &name, attempt);
        copied.map_err(|error| Failure::tool(format!("cannot print the log of {name}")).caused_by(&error))?;
    }
    if printed || waits {
        return Ok(Exit::Good);
    }
    if args.step.is_none() && kept.collected(&view) {
        return Err(Failure::wrong(format!(
            "the logs of run {} were collected: it ended long ago, and `runs gc` freed them",
            row.number
        ))
        .hint(format!("`tidegate runs show {}` shows what is in the log of its events", row.number)));
    }
    let what = args.step.as_ref().map_or_else(|| "a log".to_owned(), |step| format!("a step `{step}`"));
    Err(Failure::wrong(format!("nothing that was asked for in run {} has {what}", row.number)).hint(format!(
        "`tidegate runs show {}` shows what ran, and what came from an earlier run",
        row.number
    )))
}

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints what is there, then what comes, until the run has ended or its engine is gone.
fn follow(args: &Args, globals: &Globals, kept: &Kept, row: &RunRow) -> Result<Exit, Failure> {
    let mut printed: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut waits: BTreeMap<u32, String> = BTreeMap::new();
    let mut last = None;
    loop {
        // Asked before reading: what was written last is read in this round.
        let alive = kept.find(Some(&row.run))?.owner.is_some();
        let events = kept.events(row, 0)?;
        let mut view = RunView::default();
        events.iter().for_each(|event| view.apply(event));
        let ended = view.summary.is_some() || !alive;
        // Instances that are asked for may come later, when what they need has ended.
        let chosen = match choose(args.job.as_deref(), &args.matrix, &view) {
            Err(failure) if ended => return Err(failure),
            chosen => chosen.unwrap_or_default(),
        };
        for (index, instance) in chosen {
            let attempt = instance.attempt;
            if let Some(reason) = &instance.waiting
                && waits.get(&index) != Some(reason)
            {
                globals.warn(format!("{} waits: {reason}\n", name(&view, instance)));
                waits.insert(index, reason.clone());
            }
            let Some((from, to)) = part(args, &events, index, attempt) else { continue };
            let Some(file) = kept.log(&view, index, attempt).and_then(|path| File::open(path).ok()) else {
                continue;
            };
            let size = file.metadata().map_or(0, |meta| meta.len());
            let from = printed.get(&(index, attempt)).copied().unwrap_or(from);
            let to = to.unwrap_or(size).min(size);
            if to <= from {
                continue;
            }
            let name = name(&view, instance);
            if args.format == Format::Text && view.instances.len() > 1 && last != Some((index, attempt)) {
                globals.print(format!("{}── {name}\n", if last.is_some() { "\n" } else { "" }))?;
            }
            last = Some((index, attempt));
            copy(file, (from, Some(to)), args.format, &name, attempt).map_err(|error| {
                Failure::tool(format!("cannot print the log of {name}")).caused_by(&error)
            })?;
            printed.insert((index, attempt), to);
        }
        if ended {
            return Ok(Exit::Good);
        }
        std::thread::sleep(PAUSE);
    }
}

/// From which to which byte; no end: all there is.
type Part = (u64, Option<u64>);

/// Finds the bytes that were asked for; `None` if the attempt has no such step.
fn part(args: &Args, events: &[RunEvent], wanted: u32, of: u32) -> Option<Part> {
    let Some(asked) = &args.step else { return Some((0, None)) };
    let is_it = |step: u32, name: &str| {
        let shown = name.strip_prefix("Run ").unwrap_or(name);
        name == asked || shown.starts_with(asked.as_str()) || asked.parse().ok() == step.checked_add(1)
    };
    let mut part = None;
    for event in events {
        match &event.kind {
            EventKind::StepStarted { instance, attempt, step, name, log }
                if instance.0 == wanted && *attempt == of && is_it(*step, name) =>
            {
                part = Some((*log, None));
            }
            EventKind::StepEnded { instance, attempt, step, name, log, .. }
                if instance.0 == wanted && *attempt == of && is_it(*step, name) =>
            {
                part = Some((part.map_or(*log, |(from, _)| from), Some(*log)));
            }
            _ => {}
        }
    }
    part
}

/// Copies a part of a log to standard output in pieces, however large it is. Nobody reading any
/// more is no error.
fn copy(mut file: File, (from, to): Part, format: Format, name: &str, attempt: u32) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut part = file.take(to.map_or(u64::MAX, |to| to.saturating_sub(from)));
    let mut out = io::stdout().lock();
    let done = match format {
        Format::Text => io::copy(&mut part, &mut out).map(drop),
        Format::Json => copy_lines(part, &mut out, name, attempt),
    };
    match done.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Most bytes of one line in JSON; a longer one goes on in the next object.
const LINE: u64 = 1 << 20;

fn copy_lines(part: impl Read, out: &mut impl io::Write, name: &str, attempt: u32) -> io::Result<()> {
    let (mut reader, mut line) = (BufReader::new(part), Vec::new());
    loop {
        line.clear();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        writeln!(out, "{}", json!({ "instance": name, "attempt": attempt, "line": text }))?;
    }
}
