//! The agent of one attempt in a pod: fetches its spec from the hub, waits for the shims of the step
//! containers, runs the steps, and leaves when the engine has its receipt.

use super::kubernetes::token_of;
use crate::agent::{
    Brought, Caches, Checkpoints, Control, Door, FreshFolders, Link, Row, Surroundings, TempFolders, Uplink,
    Wish, log_path_of, run,
};
use crate::hub::{AgentEnd, Connection, LogCut, LogFollower, Mirrored, client_config, dial_tcp, follow_log};
use crate::python::Environments;
use crate::store::{FileObjects, StoreError};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_flow::job::{
    ActionSpec, Conclusion, FailureClass, JobMessage, JobSpec, MessageBody, MetricsSpec, Receipt,
    step_containers,
};

/// Folders and addresses of an agent in a pod.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The hub.
    pub hub: SocketAddr,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The attempt's token.
    pub attempt: String,
    /// Which of several nodes this is; 0 where there is one.
    pub node: u32,
    /// The attempt's secret.
    pub key: String,
    /// Names this very agent: the pod's UID and something that a restart changes.
    pub incarnation: String,
    /// The attempt ends when no engine has looked after it for this long.
    pub orphan_after: Option<Duration>,
    /// Digest of the attempt's `JobSpec`, an object of the hub.
    pub spec: String,
    /// Secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// What agent and steps share: sockets, the work folder, temporary files.
    pub shared: PathBuf,
    /// The agent's own: logs, fetched objects.
    pub own: PathBuf,
}

/// Why an agent in a pod could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// Files, sockets, threads.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The hub has no spec for it, or will not give it.
    #[error("the job's description: {0}")]
    Spec(#[from] StoreError),
    /// It cannot be read.
    #[error("the job's description cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// The hub wants nothing more of it.
    #[error("the hub refused this agent: {0}")]
    Refused(String),
}

/// The socket of a container that runs steps, below the shared folder.
pub fn door_of(shared: &Path, container: &str) -> PathBuf {
    shared.join("io").join(format!("{container}.sock"))
}

/// Runs one attempt to its end; returns how it ended. `control` is the attempt's: a signal handler
/// asks it to cancel.
pub fn inside(place: &Inside, control: Arc<Control>) -> Result<Conclusion, InsideError> {
    let wrong = |doing| move |source| InsideError::Io { doing, source };
    // What the agent lays out, steps of any user may change: the folder's group is everybody's.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o002));
    let token = token_of(&place.attempt, place.node);
    let end = AgentEnd::new(&token, &place.key, &place.incarnation, control.clone());
    let tls = client_config(&place.certificate).map_err(wrong("the hub's certificate"))?;
    let (connection, keep_up) = Connection::new(dial_tcp(place.hub), tls, end.clone());
    end.connect(connection.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(wrong("starting the connection"))?;
    let network = std::thread::Builder::new()
        .name("hub".into())
        .spawn(move || runtime.block_on(keep_up))
        .map_err(wrong("starting the connection"))?;
    if let Some(orphan_after) = place.orphan_after {
        let (end, control) = (end.clone(), control.clone());
        let watch = move || watch_lease(&end, &control, orphan_after);
        std::thread::Builder::new()
            .name("lease".into())
            .spawn(watch)
            .map_err(wrong("watching for an engine"))?;
    }
    let done = attempt(place, &end, control);
    end.is_over();
    connection.close();
    let _ = network.join();
    done
}

/// Ends an attempt that no engine looks after any more; runs as long as the process does.
fn watch_lease(end: &AgentEnd, control: &Control, orphan_after: Duration) {
    while end.alone() < orphan_after {
        std::thread::sleep(Duration::from_secs(1));
    }
    let hours = orphan_after.as_secs_f64() / 3600.0;
    control.ask(Wish::Cancel, &format!("no engine looked after it for {hours:.2} hours (`orphan-after`)"));
}

fn attempt(place: &Inside, end: &Arc<AgentEnd>, control: Arc<Control>) -> Result<Conclusion, InsideError> {
    let wrong = |doing| move |source| InsideError::Io { doing, source };
    let mut spec: JobSpec = serde_json::from_slice(&end.objects.get(&place.spec)?)?;
    if place.node > 0 {
        follows(&mut spec, place.node);
    }
    let log = log_path_of(&place.own, &spec);
    let objects = FileObjects::open(place.own.join("objects"))?;
    let objects = Arc::new(Mirrored::new(objects, end.objects.clone()));
    let last = Arc::new(Last {
        end: end.clone(),
        objects: objects.clone(),
        log: Mutex::new(Some(follow_log(end.clone(), &log).map_err(wrong("following the log"))?)),
        ended: Mutex::default(),
    });
    let link = Arc::new(Link::new(&spec.token, last.clone(), control.clone()));
    let row = doors(place, &spec).map_err(wrong("opening the sockets for steps"))?;
    let steps = step_containers(&spec).into_iter().map(|container| container.steps).collect();
    let launcher = Row::enter(row, steps, &control, Arc::new(Brought))
        .map_err(wrong("waiting for the step container"))?;
    let Some(launcher) = launcher else {
        // Told to stop before the steps could start.
        link.say(MessageBody::Started { notes: Vec::new() });
        link.say(MessageBody::Ended(stopped(&control)));
        return last.wait();
    };
    let launcher = Arc::new(launcher);
    let around = Surroundings {
        checkpoints: checkpoints(place, &spec),
        caches: Caches::Asked,
        tools: tools(&place.shared),
        store: place.own.clone(),
        places: Arc::new(FreshFolders::new(place.shared.join("work"), objects.clone())),
        objects,
        python: Environments::new(place.own.join("python")),
        temps: TempFolders::new(place.shared.join("tmp")),
        launcher: Box::new(launcher.clone()),
        env: launcher.environment(),
        mark: "tidegate_".to_owned(),
        in_image: true,
        prints: true,
    };
    run(&spec, &place.secrets, &around, &link);
    let done = last.wait();
    launcher.finish(match &done {
        Ok(Conclusion::Success) => 0,
        _ => 1,
    });
    done
}

/// An empty `RUNNER_TOOL_CACHE` in a folder that steps see: what they put there goes with them.
pub(super) fn tools(shared: &Path) -> PathBuf {
    let tools = shared.join("tools");
    let _ = std::fs::create_dir_all(&tools);
    tools
}

/// Where a claim is mounted that holds the checkpoint.
pub(super) const CLAIMED: &str = "/run/tidegate/checkpoints";

fn checkpoints(place: &Inside, spec: &JobSpec) -> Checkpoints {
    let claimed = spec.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.volume.is_empty());
    match Path::new(CLAIMED) {
        folder if claimed && folder.is_dir() => Checkpoints::Stay(folder.to_owned()),
        _ if place.node > 0 => Checkpoints::Followed(place.shared.clone()),
        _ => Checkpoints::Saved(place.shared.clone()),
    }
}

/// What the nodes above 0 write and measure does not count, and their gates have nothing to judge.
fn follows(spec: &mut JobSpec, node: u32) {
    spec.token = token_of(&spec.token, node);
    spec.produces.clear();
    spec.outputs.clear();
    (spec.metrics, spec.params) = (MetricsSpec::default(), MetricsSpec::default());
    for step in &mut spec.steps {
        if matches!(step.action, ActionSpec::Gate(_)) {
            "false".clone_into(&mut step.condition);
        }
    }
}

/// Opens a socket for each container of steps: a shim knows its own by name.
fn doors(place: &Inside, spec: &JobSpec) -> io::Result<Vec<Door>> {
    std::fs::create_dir_all(place.shared.join("io"))?;
    step_containers(spec)
        .iter()
        .map(|container| Door::open(&door_of(&place.shared, &container.name)))
        .collect()
}

fn stopped(control: &Control) -> Receipt {
    Receipt::bare(Conclusion::Cancelled, None, control.reason())
}

/// Sends the receipt after the last byte of the log, and remembers it.
struct Last {
    end: Arc<AgentEnd>,
    objects: Arc<Mirrored>,
    log: Mutex<Option<LogFollower>>,
    ended: Mutex<Option<(u64, Conclusion)>>,
}

impl Uplink for Last {
    fn send(&self, message: JobMessage, urgent: bool) {
        if let MessageBody::Ended(receipt) = &message.body {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Err(cut)) = log.map(|log| log.finish(receipt.log)) {
                let message = JobMessage { body: MessageBody::Ended(cut_short(receipt, &cut)), ..message };
                return self.last(message, urgent);
            }
        }
        self.last(message, urgent);
    }

    fn flush(&self) {
        self.end.flush();
    }
}

impl Last {
    /// Says the last word.
    fn last(&self, message: JobMessage, urgent: bool) {
        if let MessageBody::Ended(receipt) = &message.body {
            // The hub may have lost its disk since; what cannot be given again, it refuses itself.
            for artifact in receipt.artifacts.values().chain(receipt.uploads.values()) {
                let _ = self.objects.still_kept(artifact);
            }
            let ended = Some((message.seq, receipt.conclusion));
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        }
        self.end.send(message, urgent);
    }

    /// Waits until the engine has the receipt.
    fn wait(&self) -> Result<Conclusion, InsideError> {
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((seq, conclusion)) = ended else {
            return Err(InsideError::Refused("the attempt has no receipt".to_owned()));
        };
        self.end.wait_acknowledged(seq).map_err(InsideError::Refused)?;
        Ok(conclusion)
    }
}

/// The receipt of an attempt whose log the hub does not take: what nobody can read did not succeed.
fn cut_short(receipt: &Receipt, cut: &LogCut) -> Receipt {
    let reason = format!(
        "the hub's disk does not take the end of its log, {} of {} bytes ({}): `kubernetes: hub: {{ volume: … }}` in \
         .ml/config.yaml gives it a larger one",
        receipt.log - cut.kept.min(receipt.log),
        receipt.log,
        cut.problem
    );
    let (class, conclusion) = (Some(FailureClass::Disk), Conclusion::Failure);
    Receipt { log: cut.kept, conclusion, class, reason: Some(reason), ..receipt.clone() }
}

/// Why an agent leaves whose pod is taken away.
pub const REMOVED: &str = "the pod is being removed";

/// Ends an attempt cleanly: its pod is being removed.
pub fn leave(control: &Control) {
    control.ask(Wish::Cancel, REMOVED);
}
