//! An engine's end of a hub: opens attempts, hears their messages, writes their logs into its store.

use super::access::handed_on;
use super::client::{Connection, Peer, Welcome};
use super::objects::HubObjects;
use crate::store::{Incoming, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::{AgentRequest, JobMessage, MessageBody};
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// What an engine hears of a hub.
#[derive(Debug)]
pub enum HubEvent {
    /// From an agent, perhaps not for the first time.
    Message(JobMessage),
    /// An agent came.
    Agent {
        /// Its attempt.
        attempt: String,
        /// The pod's UID and more.
        incarnation: String,
        /// The version of its program; empty: one that did not say.
        version: String,
    },
    /// The connection stands, for the first time or again.
    Stands,
    /// The connection broke; it is made again.
    Broken(String),
    /// The hub does not want this engine.
    Refused(String),
    /// The hub's object store does not answer, and why; `None`: it does again.
    Store(Option<String>),
    /// The hub's own disk takes nothing, and why; `None`: it does again.
    Disk(Option<String>),
}

/// An engine's connection to a hub.
pub struct EngineEnd {
    key: String,
    store: String,
    connection: OnceLock<Connection>,
    /// Objects of the hub.
    pub objects: Arc<HubObjects>,
    attempts: Mutex<BTreeMap<String, Attempt>>,
    /// Closed here, and not yet at the hub as far as it has said.
    closing: Mutex<BTreeSet<String>>,
    sink: Box<dyn Fn(HubEvent) + Send + Sync>,
}

struct Attempt {
    /// blake3 of its secret, hex.
    key: String,
    /// Digest of its spec, hex.
    spec: String,
    /// Said to its agent, and again after each connection.
    requests: Vec<AgentRequest>,
    path: PathBuf,
    file: Option<File>,
    /// Bytes of the log in the store.
    kept: u64,
    /// What the hub said of it: an agent came, it has a receipt.
    agent: bool,
    receipt: bool,
    /// The receipt, until the whole log is there.
    ended: Option<(u64, JobMessage)>,
    /// Since when a piece of the log could not be written: all after it are asked for again.
    stuck: Option<Instant>,
    /// When the log last grew.
    grew: Instant,
}

/// Bytes of a log's end by which it is known again.
const KNOWN: u64 = 1 << 10;
/// A log that could not be written is asked for again after this long.
const AGAIN: Duration = Duration::from_secs(2);

impl EngineEnd {
    /// Makes the end of a store's engine; `key` is the hub's secret. `sink` must not wait.
    pub fn new(key: &str, store: &str, sink: Box<dyn Fn(HubEvent) + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            key: key.to_owned(),
            store: store.to_owned(),
            connection: OnceLock::new(),
            objects: Arc::default(),
            attempts: Mutex::default(),
            closing: Mutex::default(),
            sink,
        })
    }

    /// Speaks over this connection from now on.
    pub fn connect(&self, connection: Connection) {
        self.objects.connect(connection.clone());
        let _ = self.connection.set(connection);
    }

    /// Lets an attempt's agent in; `secret` is the agent's, `log` where its log goes. Without a secret,
    /// the hub says what it has of an attempt that it knows, and lets nobody else in. `spec` is the digest of
    /// the attempt's spec, an object of the hub: its agent may have this, and what it names.
    pub fn open(&self, attempt: &str, secret: &str, spec: &str, log: &Path) {
        let key = match secret {
            "" => String::new(),
            secret => blake3::hash(secret.as_bytes()).to_hex().to_string(),
        };
        // An engine that starts again goes on where its file ends.
        let kept = std::fs::metadata(log).map_or(0, |m| m.len());
        let made = Attempt {
            key: key.clone(),
            spec: spec.to_owned(),
            requests: Vec::new(),
            path: log.to_owned(),
            file: None,
            kept,
            agent: false,
            receipt: false,
            ended: None,
            stuck: None,
            grew: Instant::now(),
        };
        self.closing().remove(attempt);
        let mut attempts = self.attempts();
        let known = attempts.entry(attempt.to_owned()).or_insert(made);
        known.key.clone_from(&key);
        known.words(attempt).iter().for_each(|word| self.say(word));
    }

    /// Tells whether an agent of the attempt came, as far as the hub has said.
    pub fn has_agent(&self, attempt: &str) -> bool {
        self.attempts().get(attempt).is_some_and(|attempt| attempt.agent)
    }

    /// Tells whether the hub has the attempt's receipt, as far as it has said.
    pub fn has_receipt(&self, attempt: &str) -> bool {
        self.attempts().get(attempt).is_some_and(|attempt| attempt.receipt)
    }

    /// Tells whether an attempt's receipt is here and waits for the rest of its log, which still comes: there was some of
    /// it within `patience`.
    pub fn waits_for_log(&self, attempt: &str, patience: Duration) -> bool {
        self.attempts().get(attempt).is_some_and(|a| a.ended.is_some() && a.grew.elapsed() < patience)
    }

    /// Gives out a receipt whose log does not come any more.
    pub fn take_without_log(&self, attempt: &str) -> Option<JobMessage> {
        self.attempts().get_mut(attempt)?.ended.take().map(|(_, message)| message)
    }

    /// Adds to an attempt's log what its agent wrote and could not send, as the agent's own output has it: `said` is the
    /// end of the log, or all of it. What cannot be told to follow is left out.
    pub fn add_rest(&self, attempt: &str, said: &str) {
        let mut attempts = self.attempts();
        let Some(attempt) = attempts.get_mut(attempt) else { return };
        let Some(rest) = attempt.rest_of(said.as_bytes()) else { return };
        if attempt.write(attempt.kept, rest).is_ok() {
            attempt.kept += rest.len() as u64;
        }
    }

    /// Asks again for logs that could not be written a while ago; says daily what the run relies on.
    pub fn ask_again(&self) {
        if let Some(connection) = self.connection.get() {
            self.objects.renew_daily(connection);
        }
        for (token, attempt) in &mut *self.attempts() {
            if attempt.stuck.take_if(|since| since.elapsed() >= AGAIN).is_some() {
                attempt.words(token).iter().for_each(|word| self.say(word));
            }
        }
    }

    /// Says something to an attempt's agent.
    pub fn request(&self, token: &str, request: AgentRequest) {
        if let Some(attempt) = self.attempts().get_mut(token) {
            attempt.requests.push(request.clone());
        }
        self.say(&ToHub::Request(request));
    }

    /// Forgets an attempt; the hub does, too.
    pub fn close(&self, attempt: &str) {
        self.attempts().remove(attempt);
        self.closing().insert(attempt.to_owned());
        self.say(&ToHub::Close { attempt: attempt.to_owned() });
    }

    /// Tells whether the hub has yet to say that it closed an attempt.
    pub fn is_closing(&self) -> bool {
        !self.closing().is_empty()
    }

    fn closing(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<String, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &ToHub) {
        if let Some(connection) = self.connection.get() {
            connection.say(word);
        }
    }

    /// Says all that a hub may not know.
    fn say_all(&self, connection: &Connection) {
        for (token, attempt) in &*self.attempts() {
            attempt.words(token).iter().for_each(|word| connection.say(word));
            for request in &attempt.requests {
                connection.say(&ToHub::Request(request.clone()));
            }
        }
        for attempt in &*self.closing() {
            connection.say(&ToHub::Close { attempt: attempt.clone() });
        }
    }

    /// Passes a message on; a receipt waits for the last byte of its log.
    fn message(&self, message: JobMessage) {
        self.objects.hold(handed_on(&message).into_iter().map(|artifact| artifact.digest.clone()));
        if let MessageBody::Ended(receipt) = &message.body
            && let Some(attempt) = self.attempts().get_mut(&message.token)
        {
            attempt.receipt = true;
            if attempt.kept < receipt.log {
                attempt.ended = Some((receipt.log, message));
                return;
            }
        }
        (self.sink)(HubEvent::Message(message));
    }

    /// Writes a piece of a log; returns how far it is kept, and the receipt that waited for it.
    fn keep_log(&self, attempt: &str, offset: u64, bytes: &[u8]) -> Option<(u64, Option<JobMessage>)> {
        let mut attempts = self.attempts();
        let attempt = attempts.get_mut(attempt)?;
        if offset <= attempt.kept {
            if attempt.write(offset, bytes).is_err() {
                attempt.stuck.get_or_insert_with(Instant::now);
                return None;
            }
            attempt.kept = attempt.kept.max(offset + bytes.len() as u64);
            attempt.grew = Instant::now();
        }
        let kept = attempt.kept;
        let ended = attempt.ended.take_if(|(length, _)| kept >= *length);
        Some((kept, ended.map(|(_, message)| message)))
    }
}

impl Attempt {
    /// What opens it at the hub, and says how much of its log is here.
    fn words(&self, token: &str) -> [ToHub; 2] {
        let (attempt, key, spec) = (token.to_owned(), self.key.clone(), self.spec.clone());
        [ToHub::Open { attempt, key, spec }, ToHub::LogKept { attempt: token.to_owned(), upto: self.kept }]
    }

    /// What of `said` follows the log that is here.
    fn rest_of<'a>(&self, said: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.kept.saturating_sub(KNOWN);
        let mut known = vec![0; usize::try_from(self.kept - from).ok()?];
        if self.kept > 0 {
            File::open(&self.path).ok()?.read_exact_at(&mut known, from).ok()?;
        }
        // From the first byte on, or as far as the cluster still has it.
        let whole = usize::try_from(self.kept).ok().and_then(|kept| said.split_at_checked(kept));
        if let Some((before, rest)) = whole
            && before.ends_with(&known)
        {
            return Some(rest);
        }
        let at = said.windows(known.len()).rposition(|part| part == known)?;
        said.get(at + known.len()..)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
            self.file = Some(file);
        }
        self.file.as_ref().map_or(Ok(()), |file| file.write_all_at(bytes, offset))
    }
}

impl Peer for EngineEnd {
    fn hello(&self) -> ToHub {
        ToHub::Engine { key: self.key.clone(), store: self.store.clone() }
    }

    fn welcome(&self, connection: &Connection, said: Welcome) {
        self.objects.has_store(said.store);
        self.objects.collected(said.collects);
        self.say_all(connection);
        // A hub that was killed may not have written down what it was told last.
        self.objects.renew(connection);
        self.objects.again(connection);
        (self.sink)(HubEvent::Stands);
    }

    fn landing(&self, word: &FromHub) -> Option<Incoming> {
        self.objects.landing(word)
    }

    fn landed(&self, word: FromHub, content: Result<Incoming, StoreError>) {
        self.objects.landed(word, content);
    }

    fn hear(&self, connection: &Connection, word: FromHub, content: Vec<u8>) {
        let Some((word, content)) = self.objects.answer(word, content) else { return };
        match word {
            FromHub::Message(message) => self.message(message),
            FromHub::Agent { attempt, incarnation, version } => {
                if let Some(known) = self.attempts().get_mut(&attempt) {
                    known.agent = true;
                }
                (self.sink)(HubEvent::Agent { attempt, incarnation, version });
            }
            FromHub::Closed { attempt } => drop(self.closing().remove(&attempt)),
            FromHub::Disk { problem } => {
                if problem.is_none() {
                    self.say_all(connection);
                }
                (self.sink)(HubEvent::Disk(problem));
            }
            FromHub::Log { attempt, offset } => {
                if let Some((upto, ended)) = self.keep_log(&attempt, offset, &content) {
                    connection.say(&ToHub::LogKept { attempt, upto });
                    if let Some(message) = ended {
                        (self.sink)(HubEvent::Message(message));
                    }
                }
            }
            FromHub::Store { problem } => (self.sink)(HubEvent::Store(problem)),
            _ => {}
        }
    }

    fn refused(&self, reason: &str) {
        self.objects.over(reason);
        (self.sink)(HubEvent::Refused(reason.to_owned()));
    }

    fn broken(&self, error: &io::Error) {
        (self.sink)(HubEvent::Broken(error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_could_not_send_follows_what_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let long = "line\n".repeat(1000);
        for (here, said, then) in [
            ("", "one\ntwo\n", "one\ntwo\n"),
            ("one\n", "one\ntwo\n", "one\ntwo\n"),
            // Lines like those before them.
            ("a\na\n", "a\na\na\na\n", "a\na\na\na\n"),
            // Only the end of it was had.
            (
                &*format!("{long}one\n"),
                &*format!("{}one\ntwo\n", "line\n".repeat(300)),
                &*format!("{long}one\ntwo\n"),
            ),
            ("one\n", "something else\n", "one\n"),
            ("one\n", "", "one\n"),
        ] {
            let path = folder.path().join("log");
            std::fs::write(&path, here).unwrap();
            let end = EngineEnd::new("key", "store", Box::new(|_| {}));
            end.open("r.0.1", "secret", "", &path);
            end.add_rest("r.0.1", said);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), then);
        }
    }
}
