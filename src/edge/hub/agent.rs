//! An agent's end of a hub: its messages in order, its log while it grows, objects.

use super::client::{Connection, Peer, Welcome};
use super::objects::HubObjects;
use crate::agent::{Control, Uplink, Wish};
use crate::store::{Incoming, StoreError};
use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::{AgentRequest, JobMessage};
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// Bytes of the log that travel before the hub has to say that it keeps them.
const WINDOW: u64 = 1 << 20;
/// Bytes of the log in one frame.
const PIECE: usize = 128 << 10;
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// An engine that is away this long after the hub has a message is not waited for: what the hub keeps
/// counts, and a pod does not hold its devices for nothing.
const KEPT_PATIENCE: Duration = Duration::from_mins(1);
/// The hub may be silent this long while all is well.
const SLACK: Duration = Duration::from_secs(30);
/// A hub whose disk takes nothing is offered more of the log this often.
const OFFERED: Duration = Duration::from_secs(5);
/// A log that such a hub does not take is given up after this long: nobody waits for a pod that waits for a disk.
const DISK_PATIENCE: Duration = Duration::from_mins(10);

/// One attempt's connection to its hub.
pub struct AgentEnd {
    attempt: String,
    key: String,
    incarnation: String,
    connection: OnceLock<Connection>,
    /// Objects of the hub.
    pub objects: Arc<HubObjects>,
    /// What the engine wants.
    pub control: Arc<Control>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Not yet acknowledged by the engine, in order: a hub may lose what it keeps.
    messages: VecDeque<JobMessage>,
    /// The last message that the hub keeps, and since when.
    hub_keeps: Option<(u64, Instant)>,
    /// How long the engine was away when the hub last said so; an agent that no hub let in yet has none.
    lease: (Duration, Instant),
    /// Bytes of the log sent, and kept by the hub.
    sent: u64,
    kept: u64,
    /// The engine has the receipt.
    acknowledged: u64,
    refused: Option<String>,
    /// The hub's disk takes nothing: why, since when, and when it was last offered something.
    full: Option<(String, Instant, Instant)>,
    /// Nothing more will be asked of this end.
    over: bool,
}

impl State {
    fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            hub_keeps: None,
            lease: (Duration::ZERO, Instant::now()),
            sent: 0,
            kept: 0,
            acknowledged: 0,
            refused: None,
            full: None,
            over: false,
        }
    }
}

impl AgentEnd {
    /// Makes the end of an attempt. `incarnation` names this very agent: no other is let in after it.
    pub fn new(attempt: &str, key: &str, incarnation: &str, control: Arc<Control>) -> Arc<Self> {
        Arc::new(Self {
            attempt: attempt.to_owned(),
            key: key.to_owned(),
            incarnation: incarnation.to_owned(),
            connection: OnceLock::new(),
            objects: Arc::default(),
            control,
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
        })
    }

    /// Speaks over this connection from now on.
    pub fn connect(&self, connection: Connection) {
        self.objects.connect(connection.clone());
        let _ = self.connection.set(connection);
    }

    /// Waits until the engine has acknowledged the message `seq`, or has been away for a while although
    /// the hub keeps it; an error says why neither will be.
    pub fn wait_acknowledged(&self, seq: u64) -> Result<(), String> {
        let mut state = self.state();
        loop {
            let kept = state.hub_keeps.filter(|(kept, _)| *kept >= seq);
            if state.acknowledged >= seq || kept.is_some_and(|(_, since)| since.elapsed() >= KEPT_PATIENCE) {
                return Ok(());
            }
            if let Some(reason) = &state.refused {
                return Err(reason.clone());
            }
            if kept.is_none() && self.control.wish() == Wish::Kill {
                return Err(self.control.reason());
            }
            state = self.changed.wait_timeout(state, LOOK * 10).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing more will be asked of it: what follows its log may end.
    pub fn is_over(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }

    /// Tells whether the engine has acknowledged the message `seq`.
    pub fn is_acknowledged(&self, seq: u64) -> bool {
        self.state().acknowledged >= seq
    }

    /// Returns how long no engine has looked after this attempt, as far as is known.
    pub fn alone(&self) -> Duration {
        let (away, heard) = self.state().lease;
        // Without a word of the hub it counts on; while the engine is there, a ping may be on its way.
        let since = heard.elapsed();
        if away.is_zero() { since.saturating_sub(SLACK) } else { away + since }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &ToHub) {
        if let Some(connection) = self.connection.get() {
            connection.say(word);
        }
    }
}

impl Uplink for AgentEnd {
    fn send(&self, message: JobMessage, _urgent: bool) {
        // Said under the lock, so that messages leave in the order of their numbers.
        let mut state = self.state();
        if message.seq > 0 {
            state.messages.push_back(message.clone());
        }
        self.say(&ToHub::Message(message));
    }

    fn flush(&self) {}
}

impl Peer for AgentEnd {
    fn hello(&self) -> ToHub {
        ToHub::Agent {
            attempt: self.attempt.clone(),
            key: self.key.clone(),
            incarnation: self.incarnation.clone(),
            // Its bytes stand in the program as they are, also where it is optimized: a test makes one of another version.
            version: black_box(env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    fn welcome(&self, connection: &Connection, said: Welcome) {
        let Welcome { kept, log, store, .. } = said;
        self.objects.has_store(store);
        self.objects.collected(false);
        let mut state = self.state();
        for message in state.messages.iter().filter(|m| m.seq > kept) {
            connection.say(&ToHub::Message(message.clone()));
        }
        state.hub_keeps = Some((kept, Instant::now()));
        (state.sent, state.kept) = (log, log);
        drop(state);
        self.changed.notify_all();
        self.objects.again(connection);
    }

    fn landing(&self, word: &FromHub) -> Option<Incoming> {
        self.objects.landing(word)
    }

    fn landed(&self, word: FromHub, content: Result<Incoming, StoreError>) {
        self.objects.landed(word, content);
    }

    fn hear(&self, _: &Connection, word: FromHub, content: Vec<u8>) {
        let Some((word, _)) = self.objects.answer(word, content) else { return };
        match word {
            FromHub::Kept { seq } => {
                self.state().hub_keeps = Some((seq, Instant::now()));
                self.changed.notify_all();
            }
            FromHub::Lease { away } => {
                self.state().lease = (Duration::from_secs(away), Instant::now());
            }
            FromHub::LogKept { upto } => {
                let mut state = self.state();
                state.kept = state.kept.max(upto);
                // What was sent after the piece that was not taken, was passed over.
                if state.full.take().is_some() {
                    state.sent = state.kept;
                }
                drop(state);
                self.changed.notify_all();
            }
            FromHub::Disk { problem: Some(problem) } => {
                let mut state = self.state();
                let now = Instant::now();
                let since = state.full.take().map_or(now, |(_, since, _)| since);
                state.full = Some((problem, since, now));
                drop(state);
                self.changed.notify_all();
            }
            FromHub::Request(AgentRequest::Cancel { reason, .. }) => self.control.ask(Wish::Cancel, &reason),
            FromHub::Request(AgentRequest::Kill { .. }) => self.control.ask(Wish::Kill, "ended at once"),
            FromHub::Request(AgentRequest::Reply { id, answer, .. }) => self.control.answer(id, answer),
            FromHub::Request(AgentRequest::Acknowledge { seq, .. }) => {
                let mut state = self.state();
                state.acknowledged = state.acknowledged.max(seq);
                while state.messages.front().is_some_and(|m| m.seq <= seq) {
                    state.messages.pop_front();
                }
                drop(state);
                self.changed.notify_all();
            }
            _ => {}
        }
    }

    fn refused(&self, reason: &str) {
        self.control.ask(Wish::Kill, reason);
        self.objects.over(reason);
        self.state().refused = Some(reason.to_owned());
        self.changed.notify_all();
    }
}

/// Sends a log while it grows, from a thread of its own, and again to a hub that lost it, until the end is over.
pub fn follow_log(end: Arc<AgentEnd>, path: &Path) -> io::Result<LogFollower> {
    let path = path.to_owned();
    let follows = end.clone();
    std::thread::Builder::new().name("log".into()).spawn(move || follow(&follows, &path))?;
    Ok(LogFollower { end, patience: DISK_PATIENCE })
}

/// A log that is being sent.
pub struct LogFollower {
    end: Arc<AgentEnd>,
    /// With a hub whose disk takes nothing.
    patience: Duration,
}

/// A log that the hub does not take.
#[derive(Debug, PartialEq, Eq)]
pub struct LogCut {
    /// Bytes that it has.
    pub kept: u64,
    /// Why it takes no more.
    pub problem: String,
}

impl LogFollower {
    /// The same with another patience, for tests.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Waits until the hub keeps all `length` bytes of the log.
    pub fn finish(self, length: u64) -> Result<(), LogCut> {
        let mut state = self.end.state();
        // The last bytes were written this moment.
        self.end.changed.notify_all();
        loop {
            if state.refused.is_some() || state.kept >= length {
                return Ok(());
            }
            if let Some((problem, since, _)) = &state.full
                && since.elapsed() >= self.patience
            {
                return Err(LogCut { kept: state.kept, problem: problem.clone() });
            }
            state = self.end.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn follow(end: &AgentEnd, path: &PathBuf) {
    let mut file = None;
    let mut buffer = vec![0; PIECE];
    loop {
        if file.is_none() {
            file = File::open(path).ok();
        }
        let mut state = end.state();
        if state.refused.is_some() || state.over {
            return;
        }
        // What came after the first piece that was not taken, was passed over: it begins anew there.
        let full = state.full.as_ref().map(|(_, _, offered)| offered.elapsed());
        if full.is_some_and(|since| since >= OFFERED) {
            state.sent = state.kept;
        }
        let window = if full.is_some() { 1 } else { WINDOW };
        let mut moved = false;
        while let Some(file) = &file
            && state.sent < state.kept + window
            && full.is_none_or(|since| since >= OFFERED)
        {
            let Ok(read @ 1..) = file.read_at(&mut buffer, state.sent) else { break };
            if let Some(connection) = end.connection.get() {
                let bytes = buffer.get(..read).unwrap_or_default();
                connection.say_with(&ToHub::Log { offset: state.sent }, bytes);
            }
            state.sent += read as u64;
            moved = true;
        }
        if moved && let Some((_, _, offered)) = &mut state.full {
            *offered = Instant::now();
        }
        if !moved {
            let _ = end.changed.wait_timeout(state, LOOK);
        }
    }
}
