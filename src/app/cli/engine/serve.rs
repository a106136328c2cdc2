//! The loop of the engine: requests come in, processes of runs are started, heard and told to leave.
//!
//! A process for each run: one that fails takes no other along, and a run is owned, woken and taken over in
//! the store as anywhere else.

use super::collect;
use super::command::Args;
use super::process::{Heard, Running};
use super::word::{Told, Word};
use crate::app::cli::store_trouble::store_trouble;
use crate::app::cli::{Exit, Failure, Globals};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_edge::executor::kubernetes::ClusterError;
use tidegate_edge::executor::kubernetes::detached::{Asked, Desk, EngineLease, Held, Request};
use tidegate_edge::store::{RunLog as _, Store, store_id};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

/// How often the lease is renewed, and what waits is looked at.
const TICK: Duration = Duration::from_secs(3);
/// How long processes may take to leave.
const LEAVE: Duration = Duration::from_secs(20);
/// The pause before a run that could not go on is tried again; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(2);
/// See [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A request that was refused stays this many seconds, for people to see why.
const REFUSED_FOR: i64 = 24 * 60 * 60;
/// Runs that are looked through for such as have not ended.
const ROWS: usize = 100_000;

/// Serves until it is told to go.
pub(super) fn run(args: &Args, dir: &Path, globals: &Globals) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::tool("starting the engine").caused_by(&e))?;
    let (heard, hears) = unbounded_channel();
    stop_on_signal(heard.clone())?;
    let served = runtime.block_on(serve(args, dir, globals, heard, hears));
    runtime.shutdown_background();
    served.map(|()| Exit::Good)
}

fn stop_on_signal(to: UnboundedSender<Heard>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|e| Failure::tool("cannot listen to signals").caused_by(&e))?;
    let hear = move || signals.forever().for_each(|_| drop(to.send(Heard::Stop)));
    let thread = std::thread::Builder::new().name("signals".into()).spawn(hear);
    thread.map(drop).map_err(|e| Failure::tool("starting a thread").caused_by(&e))
}

async fn serve(
    args: &Args,
    dir: &Path,
    globals: &Globals,
    heard: UnboundedSender<Heard>,
    mut hears: UnboundedReceiver<Heard>,
) -> Result<(), Failure> {
    let store = Store::open(dir).map_err(|e| store_trouble("the engine's store cannot be opened", &e))?;
    let id = store_id(dir).map_err(|e| store_trouble("the engine's store has no id", &e))?;
    let hub = args.hub();
    let desk = insist(globals, || Desk::open(&args.agent_image, &hub)).await?;
    let mut lease = EngineLease::new(&desk, &args.holder);
    if !take_over(&mut lease, globals, &mut hears).await {
        return Ok(());
    }
    desk.notes.iter().for_each(|note| globals.warn(format!("{note}\n")));
    globals.warn(format!("engine of namespace {}, store {id}\n", desk.namespace()));
    let engine = Serving {
        args,
        dir: dir.to_owned(),
        globals,
        store,
        id,
        desk,
        heard,
        running: BTreeMap::new(),
        requests: BTreeMap::new(),
        listed: BTreeSet::new(),
        later: BTreeMap::new(),
        orphans_looked_for: false,
        renewed: Instant::now(),
        collects: Instant::now() + collect::FIRST,
    };
    engine.run(lease, hears).await
}

/// Asks until the API server answers: an engine that starts with its cluster has to wait for it.
async fn insist<T, F>(globals: &Globals, ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, ClusterError>>,
{
    let mut pause = PAUSE;
    loop {
        match ask().await {
            Ok(done) => return Ok(done),
            Err(error @ (ClusterError::Config(_) | ClusterError::Manifest { .. })) => {
                return Err(Failure::tool("there is no cluster around the engine").caused_by(&error));
            }
            Err(error) => globals.warn(format!("{error}; it is tried again\n")),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for the right to be the engine; `false`: it was told to go meanwhile.
async fn take_over(lease: &mut EngineLease, globals: &Globals, hears: &mut UnboundedReceiver<Heard>) -> bool {
    let mut said = String::new();
    loop {
        let text = match lease.hold().await {
            Ok(Held::Here) => return true,
            Ok(Held::By(holder)) => format!("pod {holder} is the engine; this one waits for its turn"),
            Err(error) => error.to_string(),
        };
        if text != said {
            globals.warn(format!("{text}\n"));
            said = text;
        }
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            Some(Heard::Stop) = hears.recv() => return false,
        }
    }
}

/// The engine at work.
struct Serving<'a> {
    args: &'a Args,
    dir: PathBuf,
    globals: &'a Globals,
    store: Store,
    /// The store's id.
    id: String,
    desk: Desk,
    heard: UnboundedSender<Heard>,
    /// Processes by the name of their request.
    running: BTreeMap<String, Running>,
    /// Requests that are there.
    requests: BTreeMap<String, Request>,
    /// Names that the list under way has named.
    listed: BTreeSet<String>,
    /// Runs that are to be tried again: when, and the pause after that.
    later: BTreeMap<String, (Instant, Duration)>,
    /// Runs of the store without a request were looked for.
    orphans_looked_for: bool,
    /// When the lease was renewed last.
    renewed: Instant,
    /// When what old runs hold is to go next.
    collects: Instant,
}

impl Serving<'_> {
    async fn run(
        mut self,
        mut lease: EngineLease,
        mut hears: UnboundedReceiver<Heard>,
    ) -> Result<(), Failure> {
        let mut asked = self.desk.requests();
        let mut tick = tokio::time::interval(TICK);
        let lost = loop {
            tokio::select! {
                Some(next) = asked.recv() => self.asked(next).await,
                Some(heard) = hears.recv() => match heard {
                    Heard::Stop => break None,
                    heard => self.hear(heard).await,
                },
                _ = tick.tick() => {
                    if let Err(reason) = self.renew(&mut lease).await {
                        break Some(reason);
                    }
                    self.try_again().await;
                    self.forget_refused().await;
                    self.collect();
                }
            }
        };
        self.leave(hears).await;
        match lost {
            None => {
                lease.give_back().await;
                Ok(())
            }
            Some(reason) => Err(Failure::tool(reason).hint("its runs go on under the next engine")),
        }
    }

    /// Renews the lease. An engine that cannot stops before another one may begin.
    async fn renew(&mut self, lease: &mut EngineLease) -> Result<(), String> {
        match tokio::time::timeout(TICK, lease.hold()).await {
            Ok(Ok(Held::Here)) => {
                self.renewed = Instant::now();
                Ok(())
            }
            Ok(Ok(Held::By(holder))) if holder != "another" => Err(format!("pod {holder} is the engine now")),
            _ if self.renewed.elapsed() + TICK >= EngineLease::length() => {
                Err("the right to be the engine could not be renewed".to_owned())
            }
            _ => Ok(()),
        }
    }

    async fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Begins => self.listed.clear(),
            Asked::Request(request) => {
                self.listed.insert(request.name.clone());
                self.request(*request).await;
            }
            Asked::Whole => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<String> =
                    self.requests.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.gone(name));
                if !std::mem::replace(&mut self.orphans_looked_for, true) {
                    self.cancel_orphans();
                }
            }
            Asked::Gone(name) => self.gone(&name),
            Asked::Trouble(reason) => self.globals.warn(format!("requests cannot be heard: {reason}\n")),
        }
    }

    /// Starts the run of a request, unless it is under way or over.
    async fn request(&mut self, request: Request) {
        let name = request.name.clone();
        let refused = request.refused;
        self.requests.insert(name.clone(), request);
        if !refused && !self.running.contains_key(&name) && !self.later.contains_key(&name) {
            self.start(&name).await;
        }
    }

    async fn start(&mut self, name: &str) {
        let Some(request) = self.requests.get(name) else { return };
        let (run, taken_by) = (request.run.clone(), request.taken_by.clone());
        match self.ended(&run) {
            Some(true) => return self.over(name).await,
            None => {
                if let Some(store) = taken_by.filter(|store| *store != self.id) {
                    self.noted(self.desk.remove_attempts(&store, &run).await);
                    let reason = "its log is lost with the store that it was in; hand the run over again";
                    return self.refuse(name, reason).await;
                }
            }
            Some(false) => {}
        }
        match request.read() {
            Ok((submission, secrets)) => {
                self.spawn(name, &run, &Told { submission: Some(submission), secrets });
            }
            Err(error) => self.refuse(name, &error.to_string()).await,
        }
    }

    /// Whether a run of the store has ended; `None`: the store does not know it.
    fn ended(&self, run: &str) -> Option<bool> {
        let row = self.store.find(run).ok().flatten().filter(|row| row.run == run)?;
        Some(row.summary.is_some())
    }

    fn spawn(&mut self, name: &str, run: &str, told: &Told) {
        match Running::start(self.args, &self.dir, (name, run), told, self.heard.clone()) {
            Ok(running) => drop(self.running.insert(name.to_owned(), running)),
            Err(error) => {
                self.globals.warn(format!("run {run} cannot be started: {error}\n"));
                self.retry(name);
            }
        }
    }

    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Word(name, word) => {
                if let Word::Accepted(number) = &word {
                    self.later.remove(&name);
                    self.globals.warn(format!("run {number} ({name}) is under way\n"));
                    self.noted(self.desk.accepted(&name, &self.id, *number).await);
                }
                if let Some(running) = self.running.get_mut(&name) {
                    running.last = Some(word);
                }
            }
            Heard::Gone(name) => {
                let last = self.running.remove(&name).and_then(|running| running.last);
                self.process_is_gone(&name, last).await;
            }
            Heard::Collected(text) => self.globals.warn(format!("{text}\n")),
            Heard::Stop => {}
        }
    }

    /// Has what old runs hold removed, once a day.
    fn collect(&mut self) {
        if Instant::now() < self.collects {
            return;
        }
        self.collects = Instant::now() + collect::AGAIN;
        if let Err(error) = collect::start(&self.dir, &self.args.keep, self.heard.clone()) {
            self.globals.warn(format!("what old runs hold cannot be removed: {error}\n"));
        }
    }

    async fn process_is_gone(&mut self, name: &str, last: Option<Word>) {
        match last {
            Some(Word::Ended(how)) => {
                self.globals.warn(format!("{name} has ended: {how}\n"));
                self.over(name).await;
            }
            Some(Word::Refused(reason)) => self.refuse(name, &reason).await,
            Some(Word::Trouble(reason)) => {
                self.globals.warn(format!("{name} cannot go on just now: {reason}\n"));
                self.noted(self.desk.trouble(name, &reason).await);
                self.retry(name);
            }
            // It left because it was told to, or died.
            Some(Word::Left | Word::Accepted(_)) | None => self.retry(name),
        }
    }

    async fn over(&mut self, name: &str) {
        self.later.remove(name);
        let done = self.desk.remove(name).await;
        if done.is_err() {
            self.retry(name);
        }
        self.noted(done);
    }

    async fn refuse(&mut self, name: &str, reason: &str) {
        self.globals.warn(format!("{name} is refused: {reason}\n"));
        let done = self.desk.refused(name, reason).await;
        if done.is_err() {
            self.retry(name);
        }
        self.noted(done);
    }

    fn noted(&self, done: Result<(), ClusterError>) {
        if let Err(error) = done {
            self.globals.warn(format!("{error}\n"));
        }
    }

    fn retry(&mut self, name: &str) {
        let pause = self.later.get(name).map_or(PAUSE, |(_, pause)| (*pause * 2).min(LONGEST_PAUSE));
        self.later.insert(name.to_owned(), (Instant::now() + pause, pause));
    }

    async fn try_again(&mut self) {
        let now = Instant::now();
        let due =
            self.later.iter().filter(|(name, (when, _))| *when <= now && !self.running.contains_key(*name));
        for name in due.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            if self.requests.get(&name).is_some_and(|request| !request.refused) {
                self.start(&name).await;
            } else {
                self.later.remove(&name);
                self.cancel_orphan(&name);
            }
        }
    }

    /// Removes requests that were refused long ago.
    async fn forget_refused(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let old = |request: &&Request| request.refused && now.saturating_sub(request.made) > REFUSED_FOR;
        let names: Vec<String> = self.requests.values().filter(old).map(|r| r.name.clone()).collect();
        for name in names {
            self.noted(self.desk.remove(&name).await);
        }
    }

    /// A request that is gone ends its run.
    fn gone(&mut self, name: &str) {
        self.requests.remove(name);
        if let Some(running) = self.running.get_mut(name) {
            self.globals.warn(format!("{name} was deleted: its run is cancelled\n"));
            running.cancel();
        }
    }

    /// Cancels runs whose request was deleted while no engine was there.
    fn cancel_orphans(&mut self) {
        let rows = self.store.list(ROWS).unwrap_or_default();
        let names = rows.into_iter().filter(|row| row.summary.is_none());
        for name in names.map(|row| format!("tidegate-run-{}", row.run.to_ascii_lowercase())) {
            if !self.requests.contains_key(&name) {
                self.cancel_orphan(&name);
            }
        }
    }

    fn cancel_orphan(&mut self, name: &str) {
        let run = name.trim_start_matches("tidegate-run-").to_ascii_uppercase();
        if !self.running.contains_key(name) && self.ended(&run) == Some(false) {
            self.globals.warn(format!("{name} was deleted: its run is cancelled\n"));
            self.spawn(name, &run, &Told { submission: None, secrets: BTreeMap::new() });
        }
    }

    /// Tells all processes to leave their runs as they are, and waits for them.
    async fn leave(&mut self, mut hears: UnboundedReceiver<Heard>) {
        self.running.values_mut().for_each(Running::leave);
        let until = Instant::now() + LEAVE;
        while !self.running.is_empty() {
            tokio::select! {
                Some(heard) = hears.recv() => if let Heard::Gone(name) = heard {
                    self.running.remove(&name);
                },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }
}
