//! The process of one run: takes it in or takes it up, and carries it out.

use super::command::Args;
use super::word::{CANCEL, Told, Word};
use crate::app::cli::run::PODS_AT_ONCE;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::engine::{
    BackEnd, ClusterSettings, Door, Engine, EngineError, Machine, Observer, Refused, Site, accept, is_ulid,
};
use std::io::{BufRead as _, BufReader, Stdin};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tidegate_edge::executor::kubernetes::detached::{Fetched, fetch_tree};
use tidegate_edge::store::{RunLog as _, Store, store_id};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::run::{RunEvent, RunSummary};
use tidegate_flow::wire::v1::Submission;

/// Runs it to its end, or until it is told to leave.
pub(super) fn run(args: &Args, run: &str, store: &Path, globals: &Globals) -> Result<Exit, Failure> {
    let mut input = BufReader::new(std::io::stdin());
    let told = told(&mut input)?;
    let (door, doors) = channel();
    listen(input, doors)?;
    let word = match carry_out(args, run, store, told, &door, globals) {
        Ok(summary) => Word::Ended(conclusion(&summary)),
        Err(Stopped::Refused(reason)) => Word::Refused(reason),
        Err(Stopped::Engine(EngineError::Left)) => Word::Left,
        Err(Stopped::Engine(error)) => Word::Trouble(chain(&error)),
        Err(Stopped::Trouble(reason)) => Word::Trouble(reason),
    };
    say(globals, &word)?;
    Ok(Exit::Good)
}

fn told(input: &mut BufReader<Stdin>) -> Result<Told, Failure> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(|e| Failure::tool("no request came").caused_by(&e))?;
    // What it says is not shown: there are secrets in it.
    serde_json::from_str(&line).map_err(|_| Failure::tool("the request that came cannot be read"))
}

/// Passes on what is said later, once there is an engine to hear it.
fn listen(input: BufReader<Stdin>, doors: Receiver<Door>) -> Result<(), Failure> {
    let hear = move || {
        let Ok(door) = doors.recv() else { return };
        for line in input.lines() {
            match line {
                Ok(line) if line == CANCEL => door.cancel("its request was deleted"),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        door.leave();
    };
    let thread = std::thread::Builder::new().name("input".into()).spawn(hear);
    thread.map(drop).map_err(|e| Failure::tool("starting a thread").caused_by(&e))
}

/// Why the run does not go on here.
enum Stopped {
    Refused(String),
    Engine(EngineError),
    Trouble(String),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<tidegate_edge::store::StoreError> for Stopped {
    fn from(error: tidegate_edge::store::StoreError) -> Self {
        Self::Engine(error.into())
    }
}

fn carry_out(
    args: &Args,
    run: &str,
    dir: &Path,
    told: Told,
    doors: &std::sync::mpsc::Sender<Door>,
    globals: &Globals,
) -> Result<RunSummary, Stopped> {
    if !is_ulid(run) {
        return Err(Stopped::Refused("its id is not a ULID".to_owned()));
    }
    let mut store = Store::open(dir)?;
    let known = store.find(run)?.filter(|row| row.run == run);
    let source = match (&known, &told.submission) {
        (Some(_), _) => source_of(&store, run)?,
        (None, Some(submission)) => submission.created.source.clone(),
        (None, None) => return Err(Stopped::Refused("there is no such run".to_owned())),
    };
    let place = Tree::fetch(dir, &store, run, &source.tree)?;
    let root = place.0.join(&source.project);
    if let (None, Some(submission)) = (&known, &told.submission) {
        let owned = accept(&mut store, &root, submission).map_err(|error| match error {
            Refused::Wrong(reason) => Stopped::Refused(reason),
            Refused::Store(error) => Stopped::Engine(error.into()),
        })?;
        store.release(&owned)?;
    }
    let number = store.find(run)?.map_or(0, |row| row.number);
    let _ = say(globals, &Word::Accepted(number));
    let site = site(args, told.submission.as_ref());
    let mut observer = Container { number, globals };
    let engine = Engine::resume(&root, store, run, told.secrets, site, &mut observer)?;
    let door = engine.door();
    if told.submission.is_none() {
        door.cancel("its request was deleted");
    }
    let _ = doors.send(door);
    Ok(engine.finish()?.summary)
}

fn source_of(store: &Store, run: &str) -> Result<tidegate_flow::job::SourceSpec, Stopped> {
    match store.first_event(run)?.kind {
        tidegate_flow::run::EventKind::RunCreated(created) => Ok(created.source.clone()),
        _ => Err(Stopped::Trouble("its log has no beginning".to_owned())),
    }
}

/// What a run's pods are made of: the engine's own image, else what the request says. The policy is the
/// namespace's, never a request's.
fn site(args: &Args, submission: Option<&Submission>) -> Site {
    let usual = ClusterSettings {
        agent_image: args.agent_image.clone(),
        hub: args.hub(),
        ..ClusterSettings::default()
    };
    let seconds = |seconds: f64, usual| Duration::try_from_secs_f64(seconds).unwrap_or(usual);
    let (settings, at_once) = match submission {
        None => (usual, None),
        Some(Submission { pods, pods_at_once, .. }) => {
            let settings = ClusterSettings {
                image: pods.image.clone(),
                image_patience: seconds(pods.image_patience, usual.image_patience),
                node_patience: seconds(pods.node_patience, usual.node_patience),
                pending_timeout: pods.pending_timeout.and_then(|s| Duration::try_from_secs_f64(s).ok()),
                orphan_after: seconds(pods.orphan_after, usual.orphan_after),
                spot: serde_json::from_value(pods.spot.clone()).unwrap_or_default(),
                pull_secrets: pods.pull_secrets.clone(),
                ..usual
            };
            (settings, *pods_at_once)
        }
    };
    let mut machine = Machine::here(at_once, Some(0));
    machine.jobs = at_once.unwrap_or(PODS_AT_ONCE);
    let mut site = Site::new(machine, false);
    site.back_end = BackEnd::Kubernetes(settings);
    site.tree_in_store = true;
    site
}

/// A run's tree, laid out for as long as its process lives: actions and templates are read there.
struct Tree(PathBuf);

impl Tree {
    fn fetch(dir: &Path, store: &Store, run: &str, tree: &str) -> Result<Self, Stopped> {
        let id = store_id(dir)?;
        match fetch_tree(&id, tree, store.file_objects()) {
            Ok(Fetched::All) => {}
            Ok(Fetched::Gone) => {
                return Err(Stopped::Refused("its tree is not at the hub: hand it over again".to_owned()));
            }
            Err(error) => return Err(Stopped::Trouble(chain(&error))),
        }
        let place = Self(dir.join("trees").join(run));
        place.remove();
        let artifact = ArtifactRef { digest: tree.to_owned(), tree: true, ..ArtifactRef::default() };
        if let Some(above) = place.0.parent() {
            let made = std::fs::create_dir_all(above);
            made.map_err(|e| Stopped::Trouble(format!("making {}: {e}", above.display())))?;
        }
        store.objects().fetch(&artifact, &place.0)?;
        Ok(place)
    }

    fn remove(&self) {
        // What a dead process left, or nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Says in the container's log what belongs to no event.
struct Container<'a> {
    number: u64,
    globals: &'a Globals,
}

impl Observer for Container<'_> {
    fn event(&mut self, _: &RunEvent) {}

    fn warn(&mut self, text: &str) {
        self.globals.warn(format!("run {}: {text}\n", self.number));
    }
}

fn say(globals: &Globals, word: &Word) -> Result<(), Failure> {
    let line = serde_json::to_string(word).unwrap_or_default();
    globals.print(line + "\n")
}

fn conclusion(summary: &RunSummary) -> String {
    format!("{:?}", summary.conclusion).to_lowercase()
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let failure = Failure::tool(error.to_string());
    let failure = match error.source() {
        Some(source) => failure.caused_by(source),
        None => failure,
    };
    std::iter::once(failure.message).chain(failure.causes).collect::<Vec<_>>().join(": ")
}
