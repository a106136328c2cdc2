//! Shows a run while it goes on.

use super::args::Format;
use super::keys::QuietKeys;
use crate::app::cli::{Failure, Globals};
use crate::app::config::Project;
use crate::app::engine::Observer;
use crate::app::report::terminal::{Live, Plain};
use crate::app::report::{RunView, Style, json};
use std::io::{IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_edge::agent::log_path;
use tidegate_edge::store::{RunLog as _, RunRow, Store};
use tidegate_flow::run::{Millis, RunEvent};

/// Rows that are looked through for an earlier run of the same workflow.
const EARLIER: usize = 100;
/// Bytes of a log's end that are looked at for its last lines.
const END: u64 = 16 << 10;

/// Takes events in and shows them.
pub(in crate::app::cli) struct Watch {
    globals: Globals,
    view: RunView,
    mode: Mode,
    store: PathBuf,
    /// Written at the end of a turn, all at once.
    text: String,
    failure: Option<Failure>,
    /// Held for its end.
    _keys: Option<QuietKeys>,
}

enum Mode {
    Json,
    Plain(Plain),
    Live(Box<Live>),
}

impl Watch {
    pub(in crate::app::cli) fn new(globals: &Globals, format: Format) -> Self {
        let style = Style { color: globals.color() };
        // A terminal that CI pretends to have is not redrawn.
        let live = std::io::stdout().is_terminal()
            && std::env::var_os("CI").is_none()
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let mode = match (format, live) {
            (Format::Json, _) => Mode::Json,
            (Format::Text, true) => Mode::Live(Box::new(Live::new(style))),
            (Format::Text, false) => Mode::Plain(Plain::new(style)),
        };
        Self {
            _keys: matches!(mode, Mode::Live(_)).then(QuietKeys::new).flatten(),
            globals: globals.clone(),
            view: RunView::default(),
            mode,
            store: PathBuf::new(),
            text: String::new(),
            failure: None,
        }
    }

    /// Says where logs are, and how a next command is typed.
    pub(in crate::app::cli) fn project(&mut self, project: &Project) {
        project.store.clone_into(&mut self.store);
        self.view.program = self.globals.program(project);
        self.view.elsewhere = self.globals.elsewhere();
    }

    /// The run before this one of the same workflow.
    fn earlier(&self) -> Option<u64> {
        let rows = Store::open(&self.store).and_then(|store| store.list(EARLIER)).ok()?;
        let created = &self.view.created;
        let own = |row: &&RunRow| row.number < created.number && row.workflow == created.workflow;
        rows.iter().find(own).map(|row| row.number)
    }

    pub(in crate::app::cli) fn view(&self) -> &RunView {
        &self.view
    }

    /// Reads the last lines of a part of an attempt's log; none where they are gone.
    pub(super) fn last_lines(&self, instance: u32, attempt: u32, from: u64, to: u64) -> Vec<String> {
        last_lines(&self.store, &self.view, instance, attempt, (from, to)).unwrap_or_default()
    }

    /// Takes the live lines away, because an error follows.
    pub(in crate::app::cli) fn stop(&mut self) {
        if let Mode::Live(live) = &mut self.mode {
            live.clear();
        }
    }

    /// Writes what is left.
    pub(in crate::app::cli) fn end(&mut self) -> Result<(), Failure> {
        self.turn();
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &RunEvent) {
        self.view.apply(event);
        // Who is stopped by a gate compares with the run before.
        if self.view.summary.as_ref().is_some_and(|summary| summary.gate) {
            self.view.earlier = self.earlier();
        }
        let (store, view) = (&self.store, &self.view);
        let lines = |instance: u32, attempt: u32, from: u64, to: u64| {
            last_lines(store, view, instance, attempt, (from, to)).unwrap_or_default()
        };
        match &mut self.mode {
            Mode::Json => self.text.push_str(&json::line(event)),
            Mode::Plain(plain) => self.text.push_str(&plain.event(view, event, &lines)),
            Mode::Live(live) => live.event(view, event, &lines),
        }
    }

    fn tail(&mut self, instance: u32, line: &str) {
        if let Mode::Live(live) = &mut self.mode {
            live.tail(instance, line);
        }
    }

    fn warn(&mut self, text: &str) {
        if let Mode::Live(live) = &mut self.mode {
            live.clear();
        }
        self.globals.warn(format!("warning: {text}\n"));
    }

    fn turn(&mut self) {
        if !self.text.is_empty() {
            let done = self.globals.print(&self.text);
            self.text.clear();
            // The run goes on when its display cannot; the end says so.
            self.failure = self.failure.take().or(done.err());
        }
        if let Mode::Live(live) = &mut self.mode
            && self.view.summary.is_none()
        {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            live.draw(&self.view, now, self.globals.width().unwrap_or(80));
        }
    }

    fn interval(&self) -> Option<Duration> {
        matches!(self.mode, Mode::Live(_)).then(|| Duration::from_millis(100))
    }
}

/// The last lines of a part of an attempt's log.
fn last_lines(
    store: &Path,
    view: &RunView,
    instance: u32,
    attempt: u32,
    (from, to): (u64, u64),
) -> Option<Vec<String>> {
    let state = view.instances.get(usize::try_from(instance).ok()?)?;
    let job = view.jobs.get(usize::try_from(state.job).ok()?)?;
    let path = log_path(store, &view.created.run, &job.declared.id, instance, attempt);
    let mut file = std::fs::File::open(path).ok()?;
    let end = if to > from { to } else { file.metadata().ok()?.len() };
    let start = from.max(end.saturating_sub(END));
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().skip(usize::from(start > from));
    Some(lines.map(|l| l.chars().filter(|c| !c.is_control() || *c == '\t').collect()).collect())
}
