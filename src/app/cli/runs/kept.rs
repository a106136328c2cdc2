//! The project's store, opened for reading runs.

use crate::app::cli::store_trouble::store_trouble;
use crate::app::cli::{Failure, Globals};
use crate::app::config::Project;
use crate::app::report::RunView;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use tidegate_edge::agent::log_path;
use tidegate_edge::store::{RunLog as _, RunRow, Store, StoreError};
use tidegate_flow::run::RunEvent;

/// Most bytes of a log that are read for its last lines.
const TAIL: u64 = 64 * 1024;

/// Rows that are looked through for an earlier run of the same workflow.
const EARLIER: usize = 100;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::app::cli) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The project and its store.
pub(in crate::app::cli) struct Kept {
    /// Where.
    pub project: Project,
    /// What is kept.
    pub store: Store,
}

impl Kept {
    /// Opens the store of the project that is here. Asking about runs makes no store.
    pub fn open(globals: &Globals) -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::tool("cannot tell the current folder").caused_by(&error))?;
        let project = Project::find(&here, globals.store.as_deref())
            .map_err(|error| Failure::wrong("cannot read the project's configuration").caused_by(&error))?;
        if !project.store.exists() {
            return Err(Failure::wrong(format!(
                "nothing ran here yet: there is no {}",
                project.store.display()
            ))
            .hint("`tidegate run` starts a workflow; `--store DIR` looks elsewhere"));
        }
        let store = Store::open(&project.store)
            .map_err(|error| store_trouble("the store cannot be opened", &error))?;
        Ok(Self { project, store })
    }

    /// Finds a run by number, ULID or the start of one; without a name, the newest.
    pub fn find(&self, name: Option<&str>) -> Result<RunRow, Failure> {
        let row = match name {
            Some(name) => self.store.find(name).map_err(|error| reading(&error))?,
            None => self.newest(1)?.pop(),
        };
        row.ok_or_else(|| match name {
            Some(name) => Failure::wrong(format!("there is no run {name}"))
                .hint("`tidegate runs list` shows what there is"),
            None => Failure::wrong("nothing ran here yet").hint("`tidegate run` starts a workflow"),
        })
    }

    /// The newest runs first.
    pub fn newest(&self, limit: usize) -> Result<Vec<RunRow>, Failure> {
        self.store.list(limit).map_err(|error| reading(&error))
    }

    /// Reads a run's events from a position on.
    pub fn events(&self, row: &RunRow, from: u64) -> Result<Vec<RunEvent>, Failure> {
        self.store.events(&row.run, from).map_err(|error| reading(&error))
    }

    /// Reads what a run's events add up to.
    pub fn view(&self, row: &RunRow) -> Result<RunView, Failure> {
        let mut view = RunView::default();
        self.events(row, 0)?.iter().for_each(|event| view.apply(event));
        Ok(view)
    }

    /// Returns a view that has taken nothing in, but knows what to type next.
    pub fn blank(&self, globals: &Globals, row: &RunRow) -> RunView {
        let rows = self.newest(EARLIER).unwrap_or_default();
        let before = rows.iter().find(|other| other.number < row.number && other.workflow == row.workflow);
        RunView {
            program: globals.program(&self.project),
            elsewhere: globals.elsewhere(),
            earlier: before.map(|row| row.number),
            ..RunView::default()
        }
    }

    /// Where an attempt's log is kept; `instance` counts over the run.
    pub fn log(&self, view: &RunView, instance: u32, attempt: u32) -> Option<PathBuf> {
        let job = view.jobs.get(view.instances.get(instance as usize)?.job as usize)?;
        Some(log_path(&self.project.store, &view.created.run, &job.declared.id, instance, attempt))
    }

    /// Tells whether an ended run wrote logs and none of them is there any more.
    pub fn collected(&self, view: &RunView) -> bool {
        let mut attempts = (0..).zip(&view.instances).filter(|(_, instance)| instance.attempt > 0);
        view.summary.is_some()
            && attempts.clone().next().is_some()
            && attempts.all(|(index, instance)| {
                self.log(view, index, instance.attempt).is_none_or(|path| !path.exists())
            })
    }

    /// Reads the last lines of an attempt's log between two bytes.
    pub fn last_lines(&self, view: &RunView, instance: u32, attempt: u32, from: u64, to: u64) -> Vec<String> {
        let read = || -> Option<Vec<u8>> {
            let mut file = std::fs::File::open(self.log(view, instance, attempt)?).ok()?;
            // A step that has not ended has no end yet: what there is.
            let end = if to > from { to } else { file.metadata().ok()?.len() };
            let start = from.max(end.saturating_sub(TAIL));
            file.seek(SeekFrom::Start(start)).ok()?;
            let mut bytes = Vec::new();
            file.take(end.saturating_sub(start)).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let bytes = read().unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

/// What the store could not tell.
pub(super) fn reading(error: &StoreError) -> Failure {
    store_trouble("the store cannot be read", error)
}
