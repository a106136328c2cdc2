//! A new run: the tree, the event, the first entry of its log.

use super::act::whole;
use super::evaluate::{Frame, Only};
use super::sources::{self, Place};
use super::turn::{Parts, executor};
use super::{
    BackEnd, Engine, EngineError, Loaded, Observer, RunRequest, Site, clock, contexts, load, signals,
};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::channel;
use tidegate_edge::data::Keep;
use tidegate_edge::git::{Snapshot, snapshot};
use tidegate_edge::store::{FileObjects, Store};
use tidegate_flow::job::Receipt;
use tidegate_flow::plan::{self, Contexts};
use tidegate_flow::run::{EventKind, Run, RunCreated, RunEvent, SEMANTICS};
use tidegate_flow::trigger::{self, Decision};
use tidegate_lang::workflow::Workflow;

impl<'a> Engine<'a> {
    /// Starts a run: its first event is in the log when this returns.
    pub fn start(
        request: &RunRequest,
        mut site: Site,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, EngineError> {
        let path = request.project.relative(&request.file);
        let root = request.project.root.clone();
        let read = |path: &str| std::fs::read(root.join(path));
        let loaded = load(&root, &path, request.dialect, &read)?.sound()?;
        let workflow = loaded.linked.root.clone();
        let only = Only::new(&workflow, &request.jobs, request.matrix.clone())?;
        let mut store = Store::open(&request.project.store)?;
        store.settle()?;
        store.compact();
        let at = clock::now();
        let run = clock::ulid(at);
        let (door, inbox) = channel();
        let executor = match &site.back_end {
            // The supervisor of jobs that cannot all be cached starts while the tree is looked at.
            BackEnd::Local | BackEnd::Container(_)
                if workflow.jobs.iter().any(|job| job.ml.cache.is_none()) =>
            {
                Some(executor(&site, store.dir(), &run, BTreeSet::new(), door.clone(), &mut |_| true)?)
            }
            _ => None,
        };
        let (created, tree) = created(request, &loaded, &store, run, &site.back_end, observer)?;
        let fixed = created.contexts.clone();
        let mut first = RunEvent { at, kind: EventKind::RunCreated(Arc::new(created)) };
        // Before anybody can read in the store whom to wake; not before: what was done until here may
        // be stopped by the first signal.
        signals::listen(door.clone())?;
        let (dir, objects) = (store.dir().to_owned(), store.objects());
        let mut store = site.open(store);
        let owned = store.create(&first)?;
        // The store has given the number; the log's own first event has it.
        if let EventKind::RunCreated(created) = &mut first.kind {
            Arc::make_mut(created).number = owned.number;
        }
        let state = Run::replay(std::slice::from_ref(&first));
        let adopt = match &request.rerun {
            Some(rerun) => {
                let is_whole = |receipt: &Receipt| whole(&site.back_end, &*objects, receipt);
                super::resume::adoptable(&*store, rerun, &is_whole)?
            }
            None => HashMap::new(),
        };
        observer.event(&first);
        let frame = Frame {
            workflow,
            path,
            contexts: contexts::numbered(&fixed, owned.number),
            secrets: request.secrets.clone(),
            caller: None,
        };
        Ok(Engine::new(Parts {
            store,
            dir,
            objects,
            door: (door, inbox),
            last: Some(at),
            owned,
            run: state,
            loaded,
            files: tree.files,
            root: frame,
            only,
            adopt,
            site,
            executor,
            observer,
        }))
    }
}

/// Makes the first event of a log: the tree is kept, the event decided on, the data pinned.
pub(super) fn created(
    request: &RunRequest,
    loaded: &Loaded,
    store: &Store,
    run: String,
    back_end: &BackEnd,
    observer: &mut dyn Observer,
) -> Result<(RunCreated, Snapshot), EngineError> {
    let (workflow, path) = (&loaded.linked.root, &loaded.path);
    let tree = tree(request, store)?;
    for note in &tree.notes {
        observer.warn(note);
    }
    for part in plan::absent_triggers(workflow) {
        observer.warn(&format!("`{}`: {}", part.key, part.words));
    }
    let inputs = decide(request, workflow, &tree)?;
    let name = workflow.name.as_ref().map_or_else(|| short_name(path), |n| n.value.clone());
    let mut fixed = contexts::contexts(request, &tree, &name, path, &run, inputs);
    let made = Contexts::from_json(&fixed);
    fixed.insert("data".to_owned(), pinned(request, workflow, &made, store)?);
    let made = Contexts::from_json(&fixed);
    let created = RunCreated {
        run,
        semantics: SEMANTICS,
        workflow: path.clone(),
        run_name: run_name(workflow, &made)?,
        name,
        texts: texts(loaded, store)?,
        event: request.event.clone(),
        payload: request.payload.clone(),
        source: tree.source.clone(),
        rerun_of: request.rerun.as_ref().map(|r| r.run.clone()),
        concurrency: match &workflow.concurrency {
            Some(c) => Some(plan::concurrency(c, &made).map_err(EngineError::Asked)?),
            None => None,
        },
        options: options(request, &tree, back_end),
        jobs: plan::declare_jobs(workflow, path, None, 0),
        contexts: fixed,
        number: 0,
        project: String::new(),
    };
    Ok((created, tree))
}

fn tree(request: &RunRequest, store: &Store) -> Result<Snapshot, EngineError> {
    let mut tree = snapshot(
        &request.project.root,
        &FileObjects::open(store.dir().join("objects"))?,
        &request.project.store,
    )?;
    if request.in_place {
        let inner = tree.source.project.clone();
        let levels = inner.split('/').filter(|p| !p.is_empty()).count();
        let top = request.project.root.ancestors().nth(levels).unwrap_or(&request.project.root);
        tree.source.in_place = Some(top.to_string_lossy().into_owned());
    }
    Ok(tree)
}

/// Pins every source of data: what it holds now is what the whole run sees.
fn pinned(
    request: &RunRequest,
    workflow: &Workflow,
    contexts: &Contexts,
    store: &Store,
) -> Result<Json, EngineError> {
    let objects = store.file_objects();
    let path = request.project.relative(&request.file);
    let place = Place {
        root: &request.project.root,
        instead: &request.data,
        keep: Keep::Content(&objects),
        again: request.rerun.as_ref().map(|rerun| rerun.run.as_str()),
        pinned: request.rerun.as_ref().and_then(|rerun| rerun.pinned.as_ref()),
    };
    let sources = sources::find(workflow, &path, contexts, store, &place)?;
    for source in &sources {
        if let Err(reason) = &source.found {
            return Err(EngineError::Asked(format!("data source `{}`: {reason}", source.name)));
        }
    }
    let known = |name: &String| sources.iter().any(|source| source.name == *name);
    if let Some(name) = request.data.keys().find(|name| !known(name)) {
        return Err(EngineError::Asked(format!("--data {name}: the workflow has no data source `{name}`")));
    }
    Ok(sources::context(&sources))
}

/// Asks the filters, and gives the inputs their types and defaults.
fn decide(request: &RunRequest, workflow: &Workflow, tree: &Snapshot) -> Result<Json, EngineError> {
    let facts = request.happening().facts(tree, &request.project.root);
    if request.rerun.is_some() {
        // Its filters let it start once; the question now is only what is run again.
        return trigger::resolve_inputs(workflow, &facts)
            .map_err(|problems| EngineError::Asked(problems.join("\n")));
    }
    match trigger::decide(workflow, &facts) {
        Decision::Start(start) => Ok(start.inputs),
        Decision::NoStart(no) => {
            Err(EngineError::Asked(format!("the event does not start it: {}", no.words)))
        }
        Decision::Refused { problems } => Err(EngineError::Asked(problems.join("\n"))),
    }
}

fn run_name(workflow: &Workflow, contexts: &Contexts) -> Result<Option<String>, EngineError> {
    let Some(template) = &workflow.run_name else { return Ok(None) };
    let value = template.evaluate(contexts).map_err(|e| EngineError::Asked(format!("`run-name`: {e}")))?;
    Ok(Some(value.to_text().to_string()).filter(|name| !name.trim().is_empty()))
}

/// Keeps the text of every file, so that the run can be resumed as it was written.
fn texts(loaded: &Loaded, store: &Store) -> Result<BTreeMap<String, String>, EngineError> {
    let objects = store.objects();
    let mut kept = BTreeMap::new();
    for (path, text) in &loaded.texts {
        kept.insert(path.clone(), objects.put(text.as_bytes())?);
    }
    Ok(kept)
}

/// The option that names the jobs which a rerun runs again, whatever their result was.
pub(super) const FROM: &str = "rerun-from";

/// What changes what runs, for people and for a resume.
fn options(request: &RunRequest, tree: &Snapshot, back_end: &BackEnd) -> BTreeMap<String, Json> {
    let dialect = match request.dialect {
        tidegate_lang::workflow::Dialect::Github => "github",
        tidegate_lang::workflow::Dialect::Tidegate => "tidegate",
    };
    let on = back_end.word();
    let mut options = BTreeMap::from([("on".to_owned(), json!(on)), ("dialect".to_owned(), json!(dialect))]);
    options.extend(back_end.named().into_iter().map(|(name, value)| (name.to_owned(), json!(value))));
    if tree.source.dirty {
        options.insert("changed".to_owned(), json!(tree.dirty.len()));
    }
    if !request.jobs.is_empty() {
        options.insert("jobs".to_owned(), json!(request.jobs));
    }
    if !request.matrix.is_empty() {
        options.insert("matrix".to_owned(), json!(request.matrix));
    }
    if !request.env.is_empty() {
        options.insert("env".to_owned(), json!(request.env));
    }
    if let Some(rerun) = request.rerun.as_ref().filter(|rerun| !rerun.from.is_empty()) {
        options.insert(FROM.to_owned(), json!(rerun.from));
    }
    if request.debug {
        options.insert("debug".to_owned(), json!(true));
    }
    options
}

/// `digits` of `.ml/workflows/digits.yml`.
fn short_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(".yml").trim_end_matches(".yaml").to_owned()
}
