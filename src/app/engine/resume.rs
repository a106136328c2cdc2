//! Goes on with a run whose engine is gone, and finds what a rerun takes over.

use super::act::whole;
use super::evaluate::{Frame, Only};
use super::start::FROM;
use super::turn::Parts;
use super::{Engine, EngineError, Observer, Rerun, Site, load, signals};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::mpsc::channel;
use tidegate_edge::executor::local::end_leftovers;
use tidegate_edge::git::{files_of, snapshot};
use tidegate_edge::store::{FileObjects, RunLog, Store, StoreError};
use tidegate_flow::job::{Conclusion, Receipt, SourceSpec};
use tidegate_flow::run::{EventKind, JobId, Run, SEMANTICS};
use tidegate_lang::workflow::Dialect;

impl<'a> Engine<'a> {
    /// Takes a run over: what finished stays; what ran on this machine starts again as a new attempt,
    /// what runs on a cluster goes on.
    pub fn resume(
        root: &Path,
        store: Store,
        name: &str,
        secrets: BTreeMap<String, String>,
        mut site: Site,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, EngineError> {
        let row = store.find(name)?.ok_or_else(|| StoreError::NoSuchRun(name.to_owned()))?;
        if row.summary.is_some() {
            return Err(EngineError::Asked(format!(
                "run {} has ended; `tidegate runs rerun {0}` starts it anew",
                row.number
            )));
        }
        let (door, inbox) = channel();
        signals::listen(door.clone())?;
        let (dir, objects) = (store.dir().to_owned(), store.objects());
        let mut store = site.open(store);
        let owned = store.own(&row.run)?;
        // Its supervisor ends what it ran; if that died, too, nobody has.
        end_leftovers(&dir, &owned.run);
        let log = store.events(&owned.run, 0)?;
        let state = Run::replay(&log);
        let Some(created) = state.created().cloned() else {
            return Err(StoreError::NoSuchRun(name.to_owned()).into());
        };
        if created.semantics != SEMANTICS {
            return Err(EngineError::Asked(format!(
                "run {} was started by a tidegate that runs workflows differently; start it anew",
                row.number
            )));
        }
        let on = created.options.get("on").and_then(Json::as_str).unwrap_or("local");
        if on != site.back_end.word() {
            return Err(EngineError::Asked(format!(
                "run {} runs on {on}: `tidegate run --resume {0} --on {on}` goes on with it",
                row.number
            )));
        }
        site.back_end.goes_on(&created.options).map_err(|(name, then)| {
            EngineError::Asked(format!(
                "run {0} has its jobs in the {name} {then}: `tidegate run --resume {0} --on {on} --{name} {then}` goes on with it",
                row.number
            ))
        })?;
        let read = |path: &str| -> std::io::Result<Vec<u8>> {
            let digest = created.texts.get(path).ok_or(std::io::ErrorKind::NotFound)?;
            objects.get(digest).map_err(std::io::Error::other)
        };
        let github = created.options.get("dialect").and_then(Json::as_str) == Some("github");
        let dialect = if github { Dialect::Github } else { Dialect::Tidegate };
        let loaded = load(root, &created.workflow, dialect, &read)?.sound()?;
        let list =
            |key: &str| serde_json::from_value(created.options.get(key).cloned().unwrap_or(Json::Null));
        let jobs: Vec<String> = list("jobs").unwrap_or_default();
        let matrix = created.options.get("matrix").cloned().unwrap_or(Json::Null);
        let only = Only::new(&loaded.linked.root, &jobs, serde_json::from_value(matrix).unwrap_or_default())?;
        let files = files(root, &dir, &created.source, site.tree_in_store)?;
        for event in &log {
            observer.event(event);
        }
        let frame = Frame {
            workflow: loaded.linked.root.clone(),
            path: created.workflow.clone(),
            contexts: super::contexts::numbered(&created.contexts, owned.number),
            secrets,
            caller: None,
        };
        let adopt = match &created.rerun_of {
            Some(run) => {
                let rerun = Rerun { run: run.clone(), from: list(FROM).unwrap_or_default(), pinned: None };
                adoptable(&*store, &rerun, &|receipt| whole(&site.back_end, &*objects, receipt))?
            }
            None => HashMap::new(),
        };
        let epoch = owned.epoch;
        let parts = Parts {
            store,
            dir,
            objects: objects.clone(),
            door: (door, inbox),
            last: log.iter().map(|event| event.at).max(),
            owned,
            run: state,
            loaded,
            files,
            root: frame,
            only,
            adopt,
            site,
            executor: None,
            observer,
        };
        let mut engine = Engine::new(parts);
        engine.frames_again(&log)?;
        let keeps = engine.site.back_end.keeps();
        // One that was only handed over has had no engine yet.
        if log.len() > 1 {
            engine.record(EventKind::EngineStarted { epoch, keeps })?;
        }
        if keeps {
            engine.take_up()?;
        }
        Ok(engine)
    }

    /// Makes the frames of the calls that are in the log.
    fn frames_again(&mut self, log: &[tidegate_flow::run::RunEvent]) -> Result<(), EngineError> {
        for event in log {
            if let EventKind::JobsAdded { caller, jobs } = &event.kind {
                let frame = self.called(*caller).map_err(EngineError::Asked)?;
                self.enter_frame(frame, jobs.len());
            }
        }
        Ok(())
    }
}

/// Digests of the project's files. Cache keys are made of the tree as it was; a tree that changed since
/// gives none of its keys.
fn files(
    root: &Path,
    store: &Path,
    source: &SourceSpec,
    in_store: bool,
) -> Result<BTreeMap<String, String>, EngineError> {
    let objects = FileObjects::open(store.join("objects"))?;
    if in_store {
        return Ok(files_of(&objects.manifest(&source.tree)?, &source.project));
    }
    let tree = snapshot(root, &objects, store)?;
    Ok(if tree.source.tree == source.tree { tree.files } else { BTreeMap::new() })
}

/// Run and receipt by job and matrix.
pub(super) type Adoptable = HashMap<(String, String), (String, Receipt)>;

/// Receipts of the instances that a rerun does not run again, by job and matrix. What was collected
/// since is made again, and with it what needs it.
pub(super) fn adoptable(
    store: &dyn RunLog,
    rerun: &Rerun,
    is_whole: &dyn Fn(&Receipt) -> Result<bool, EngineError>,
) -> Result<Adoptable, EngineError> {
    let run = Run::replay(&store.events(&rerun.run, 0)?);
    let mut again: BTreeSet<JobId> = BTreeSet::new();
    for (index, job) in (0..).zip(run.jobs()) {
        if rerun.from.contains(&job.declared.id) {
            again.insert(JobId(index));
        }
    }
    for instance in run.instances().iter().filter(|i| i.outcome == Some(Conclusion::Success)) {
        if let Some(receipt) = instance.receipt.as_deref()
            && !is_whole(receipt)?
        {
            again.insert(instance.job);
        }
    }
    spread(&run, &mut again);
    let mut found = HashMap::new();
    for instance in run.instances() {
        let Some(job) = run.job(instance.job).filter(|_| !again.contains(&instance.job)) else { continue };
        if instance.outcome == Some(Conclusion::Success)
            && let Some(receipt) = &instance.receipt
        {
            let key = (job.declared.display.clone(), instance.declared.matrix.to_string());
            found.insert(key, (rerun.run.clone(), (**receipt).clone()));
        }
    }
    Ok(found)
}

/// Adds what needs a job that runs again, and what such a job calls. A job may stand in the file
/// before the one that it needs.
fn spread(run: &Run, again: &mut BTreeSet<JobId>) {
    loop {
        let before = again.len();
        for (index, job) in (0..).zip(run.jobs()) {
            let below = job.declared.needs.iter().any(|n| again.contains(&JobId(*n)));
            let called = job.caller.and_then(|c| run.instance(c)).is_some_and(|c| again.contains(&c.job));
            if below || called {
                again.insert(JobId(index));
            }
        }
        if again.len() == before {
            return;
        }
    }
}
