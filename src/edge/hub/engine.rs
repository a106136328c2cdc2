//! An engine's end of a hub: opens attempts, hears their messages, writes their logs into its store.

use super::client::{Connection, Peer};
use super::objects::HubObjects;
use crate::store::{Incoming, StoreError};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    },
    /// The connection stands, for the first time or again.
    Stands,
    /// The connection broke; it is made again.
    Broken(String),
    /// The hub does not want this engine.
    Refused(String),
    /// The hub's object store does not answer, and why; `None`: it does again.
    Store(Option<String>),
}

/// An engine's connection to a hub.
pub struct EngineEnd {
    key: String,
    store: String,
    connection: OnceLock<Connection>,
    /// Objects of the hub.
    pub objects: Arc<HubObjects>,
    attempts: Mutex<BTreeMap<String, Attempt>>,
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
}

impl EngineEnd {
    /// Makes the end of a store's engine; `key` is the hub's secret. `sink` must not wait.
    pub fn new(key: &str, store: &str, sink: Box<dyn Fn(HubEvent) + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            key: key.to_owned(),
            store: store.to_owned(),
            connection: OnceLock::new(),
            objects: Arc::default(),
            attempts: Mutex::default(),
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
        };
        let mut attempts = self.attempts();
        let known = attempts.entry(attempt.to_owned()).or_insert(made);
        known.key.clone_from(&key);
        self.say(&ToHub::Open { attempt: attempt.to_owned(), key, spec: spec.to_owned() });
        self.say(&ToHub::LogKept { attempt: attempt.to_owned(), upto: known.kept });
    }

    /// Tells whether an agent of the attempt came, as far as the hub has said.
    pub fn has_agent(&self, attempt: &str) -> bool {
        self.attempts().get(attempt).is_some_and(|attempt| attempt.agent)
    }

    /// Tells whether the hub has the attempt's receipt, as far as it has said.
    pub fn has_receipt(&self, attempt: &str) -> bool {
        self.attempts().get(attempt).is_some_and(|attempt| attempt.receipt)
    }

    /// Tells whether an attempt's receipt is here, and waits for the rest of its log.
    pub fn waits_for_log(&self, attempt: &str) -> bool {
        self.attempts().get(attempt).is_some_and(|attempt| attempt.ended.is_some())
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
        self.say(&ToHub::Close { attempt: attempt.to_owned() });
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<String, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &ToHub) {
        if let Some(connection) = self.connection.get() {
            connection.say(word);
        }
    }

    /// Passes a message on; a receipt waits for the last byte of its log.
    fn message(&self, message: JobMessage) {
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
            // What cannot be written now is sent again after the next connection.
            attempt.write(offset, bytes).ok()?;
            attempt.kept = attempt.kept.max(offset + bytes.len() as u64);
        }
        let kept = attempt.kept;
        let ended = attempt.ended.take_if(|(length, _)| kept >= *length);
        Some((kept, ended.map(|(_, message)| message)))
    }
}

impl Attempt {
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

    fn welcome(&self, connection: &Connection, _: u64, _: u64, store: bool) {
        self.objects.has_store(store);
        for (token, attempt) in &*self.attempts() {
            let (key, spec) = (attempt.key.clone(), attempt.spec.clone());
            connection.say(&ToHub::Open { attempt: token.clone(), key, spec });
            connection.say(&ToHub::LogKept { attempt: token.clone(), upto: attempt.kept });
            for request in &attempt.requests {
                connection.say(&ToHub::Request(request.clone()));
            }
        }
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
            FromHub::Agent { attempt, incarnation } => {
                if let Some(known) = self.attempts().get_mut(&attempt) {
                    known.agent = true;
                }
                (self.sink)(HubEvent::Agent { attempt, incarnation });
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
