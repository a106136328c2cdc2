//! `tidegate why`: says why a job ran, was skipped, was cached or failed.

use super::elsewhere::Elsewhere;
use super::runs::{Format, Kept, texts};
use super::trees::changed_files;
use super::{Exit, Failure, Globals};
use crate::app::engine::load;
use crate::app::report::why::{Evidence, KeyPart, Keyed, answer, text};
use crate::app::report::{FileChange, RunView, Style, TextChange};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use tidegate_edge::store::{RunLog as _, RunRow};
use tidegate_flow::plan::is_cache_input;
use tidegate_flow::run::{EventKind, RunEvent};
use tidegate_lang::workflow::Dialect;

/// Rows of the list that are looked through for earlier runs of the same workflow.
const ROWS: usize = 200;
/// Earlier runs that are read to find one with a key of the job.
const EARLIER: usize = 20;
/// Lines of details that are shown for one part.
const LINES: usize = 24;

/// Arguments of `tidegate why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate why train       the newest run
  tidegate why train 7     run 7")]
pub struct Args {
    /// The job's id
    job: String,
    /// Number or ULID of the run; without it, the newest
    run: Option<String>,
    /// The same as the argument RUN
    #[arg(long = "run", value_name = "RUN", conflicts_with = "run", hide = true)]
    of: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, false)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let row = match args.run.as_deref().or(args.of.as_deref()) {
        Some(name) => kept.find(Some(name))?,
        None => newest_with(&kept, &args.job)?,
    };
    let events = kept.events(&row, 0)?;
    let run = Keyed::new(&events);
    let earlier = earlier(&kept, &row, &run.view().created.project, &args.job)?;
    let details = |job: &str, instances: [u32; 2], part: &KeyPart| {
        earlier
            .as_ref()
            .map_or_else(Vec::new, |earlier| details(&kept, [earlier, &run], job, instances, part))
    };
    let number = |ulid: &str| kept.store.find(ulid).ok().flatten().map(|row| row.number);
    let evidence = Evidence { earlier: earlier.as_ref(), number: &number, details: &details };
    let Some(answer) = answer(&run, &args.job, &evidence) else {
        return Err(no_such_job(&args.job, row.number, &events));
    };
    globals.print(match args.format {
        Format::Json => serde_json::to_string(&answer).map(|text| text + "\n").unwrap_or_default(),
        Format::Text => text(&answer, Style { color: globals.color() }),
    })?;
    Ok(Exit::Good)
}

/// The newest run that has the job: with several workflows the newest run may be another's.
fn newest_with(kept: &Kept, job: &str) -> Result<RunRow, Failure> {
    let rows = kept.newest(EARLIER)?;
    for row in &rows {
        let view = kept.view(row)?;
        if view.jobs.iter().any(|other| other.declared.id == job || other.declared.display == job) {
            return Ok(row.clone());
        }
    }
    kept.find(None)
}

/// The newest run before `row` of the same project's workflow in which the job had a key.
fn earlier(kept: &Kept, row: &RunRow, project: &str, job: &str) -> Result<Option<Keyed>, Failure> {
    let rows = kept.newest(ROWS)?;
    let before = rows.iter().filter(|other| other.number < row.number && other.workflow == row.workflow);
    for row in before.take(EARLIER) {
        let keyed = Keyed::new(&kept.events(row, 0)?);
        if keyed.view().created.project == project && keyed.keys_of(job).next().is_some() {
            return Ok(Some(keyed));
        }
    }
    Ok(None)
}

/// Says what differs in a part of the key.
fn details(
    kept: &Kept,
    [before, now]: [&Keyed; 2],
    job: &str,
    instances: [u32; 2],
    part: &KeyPart,
) -> Vec<String> {
    let mut lines = match part.part.as_str() {
        "source" => sources(kept, before.view(), now.view(), job),
        "commands" => commands(kept, before.view(), now.view()),
        "consumes" => consumes(&part.before, &part.now),
        "params" => params(before.view(), now.view()),
        "environment" => environment(kept, [before, now], instances),
        _ => Vec::new(),
    };
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} more lines"));
    }
    lines
}

fn rows(changes: Vec<FileChange>) -> Vec<String> {
    let width = changes.iter().map(|change| change.path.chars().count()).max().unwrap_or(0);
    changes.iter().map(|change| format!("{:width$}   {}", change.path, change.sides())).collect()
}

/// The files of the tree that differ and are part of the key.
fn sources(kept: &Kept, before: &RunView, now: &RunView, job: &str) -> Vec<String> {
    let objects = kept.store.file_objects();
    let changes = changed_files(&objects, &before.created.source, &now.created.source).unwrap_or_default();
    let texts = texts(kept, now);
    let read = |path: &str| {
        texts
            .get(path)
            .map(|text| text.clone().into_bytes())
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    let loaded = load(&kept.project.root, &now.created.workflow, Dialect::Tidegate, &read).ok();
    let job = loaded.as_ref().and_then(|it| it.linked.root.jobs.iter().find(|other| other.id.value == job));
    rows(changes.into_iter().filter(|file| job.is_none_or(|job| is_cache_input(job, &file.path))).collect())
}

/// The lines of the workflow file that differ.
fn commands(kept: &Kept, before: &RunView, now: &RunView) -> Vec<String> {
    let (old, new) = (texts(kept, before), texts(kept, now));
    let paths: Vec<&String> = new.keys().filter(|path| old.get(*path) != new.get(*path)).collect();
    let change = |path: &&String| {
        let change = TextChange::of(
            [*path, *path],
            old.get(*path).map(String::as_str),
            new.get(*path).map(String::as_str),
        );
        change.text("", Style::default()).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    paths.iter().flat_map(change).collect()
}

/// The consumed content that differs; the part is `path=digest path=digest`.
fn consumes(before: &str, now: &str) -> Vec<String> {
    let read = |text: &str| -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|word| word.rsplit_once('='));
        pairs.map(|(path, digest)| (path.to_owned(), digest.to_owned())).collect()
    };
    let (before, now) = (read(before), read(now));
    let mut paths: Vec<&String> = before.keys().chain(now.keys()).collect();
    paths.sort();
    paths.dedup();
    let changed = paths.into_iter().filter(|path| before.get(*path) != now.get(*path));
    let change = |path: &String| FileChange {
        path: path.clone(),
        before: before.get(path).cloned(),
        now: now.get(path).cloned(),
    };
    rows(changed.map(change).collect())
}

/// The inputs and variables that differ; empty where it is another value.
fn params(before: &RunView, now: &RunView) -> Vec<String> {
    let mut lines = Vec::new();
    for context in ["inputs", "vars"] {
        let of = |view: &RunView| {
            view.created.contexts.get(context).and_then(Json::as_object).cloned().unwrap_or_default()
        };
        let (before, now) = (of(before), of(now));
        let value = |side: &serde_json::Map<String, Json>, name: &str| {
            side.get(name).map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
        names.sort();
        names.dedup();
        let changed = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
        lines.extend(
            changed
                .map(|name| format!("{context}.{name}   {} → {}", value(&before, name), value(&now, name))),
        );
    }
    lines
}

/// What differs in the Python environment.
fn environment(kept: &Kept, [before, now]: [&Keyed; 2], [old, new]: [u32; 2]) -> Vec<String> {
    let (Some(a), Some(b)) = (before.python(old), now.python(new)) else { return Vec::new() };
    let mut lines = Vec::new();
    if a.version != b.version {
        lines.push(format!("python   {} → {}", a.version, b.version));
    }
    if a.packages != b.packages {
        lines.push(format!("packages   {} → {}", a.packages.join(" "), b.packages.join(" ")));
    }
    if a.requirements == b.requirements {
        let objects = kept.store.file_objects();
        let trees = (&before.view().created.source, &now.view().created.source);
        let changes = changed_files(&objects, trees.0, trees.1).unwrap_or_default();
        let own = b.requirements.trim_start_matches("./");
        lines.extend(rows(changes.into_iter().filter(|file| file.path == own).collect()));
    } else {
        lines.push(format!("requirements   {} → {}", a.requirements, b.requirements));
    }
    lines
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
