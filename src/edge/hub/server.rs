//! The hub: agents come with the secret of their attempt, engines with the hub's own.

use super::spool::{Opened, Spool};
use super::stream::FrameReader;
use super::tls::Identity;
use crate::store::{FileObjects, Objects as _, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::AgentRequest;
use tidegate_flow::wire::v1::{FromHub, ToHub, decode_to_hub, encode_hub};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

/// Bytes of a log that travel to an engine before it has to say that it kept them.
const WINDOW: u64 = 1 << 20;
/// Bytes of a log in one frame.
const PIECE: usize = 128 << 10;
/// A connection that says nothing for this long is gone: clients ping every few seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// An unknown client has this long for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// A hub that lost its folder hears of running attempts from their engine within this time: until then
/// their agents are not sent away, they come again.
const YOUTH: Duration = Duration::from_mins(1);

/// Why a hub cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Its folder or its socket.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its objects.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Messages, logs and objects of a namespace.
pub struct Hub {
    attempts: PathBuf,
    objects: FileObjects,
    /// blake3 of the engines' secret.
    key: blake3::Hash,
    state: Mutex<State>,
    began: Instant,
}

#[derive(Default)]
struct State {
    attempts: BTreeMap<String, Attempt>,
    /// The connection of each store's engine.
    engines: BTreeMap<String, (u64, Frames)>,
    /// Attempts that an engine closed while this process lived.
    closed: BTreeSet<String>,
    /// Numbers connections.
    next: u64,
}

/// Frames on their way to a client.
type Frames = UnboundedSender<Vec<u8>>;

struct Attempt {
    spool: Spool,
    agent: Option<(u64, Frames)>,
    /// The connection of the engine that opened it. Another one hears nothing of it before it does so,
    /// and then all of it.
    opened_by: Option<u64>,
    /// Since when no engine has it open. What was before a start of this hub is not known.
    alone: Instant,
    /// For an agent that is not there.
    waiting: Vec<AgentRequest>,
    /// Bytes of the log sent to the engine, and kept by it.
    sent: u64,
    taken: u64,
}

impl Hub {
    /// Takes up what a former process left in `folder`; `key` is the engines' secret.
    pub fn open(folder: &Path, key: &str) -> Result<Self, HubError> {
        let attempts = folder.join("attempts");
        let wrong = |source| HubError::Io { doing: format!("reading {}", attempts.display()), source };
        let mut state = State::default();
        for spool in Spool::load_all(&attempts).map_err(wrong)? {
            state.attempts.insert(spool.opened.attempt.clone(), Attempt::new(spool));
        }
        Ok(Self {
            objects: FileObjects::open(folder.join("objects"))?,
            attempts,
            key: blake3::hash(key.as_bytes()),
            state: Mutex::new(state),
            began: Instant::now(),
        })
    }

    /// Serves connections until the listener fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, identity: &Identity) -> Result<(), HubError> {
        let wrong = |doing: &str, source| HubError::Io { doing: doing.to_owned(), source };
        let acceptor = TlsAcceptor::from(identity.server_config().map_err(|e| wrong("the certificate", e))?);
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                // A client that went away, or no descriptors for the moment.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted || e.raw_os_error() == Some(24) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(e) => return Err(wrong("accepting connections", e)),
            };
            let _ = stream.set_nodelay(true);
            let (hub, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let shaken = tokio::time::timeout(FIRST_WORD, acceptor.accept(stream)).await;
                if let Ok(Ok(stream)) = shaken {
                    hub.client(stream).await;
                }
            });
        }
    }

    /// Serves one client to its end.
    pub(super) async fn client(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let (reading, writing) = tokio::io::split(stream);
        let (frames, queue) = unbounded_channel();
        let writer = tokio::spawn(write(writing, queue));
        let mut reader = FrameReader::new(reading);
        let first = tokio::time::timeout(FIRST_WORD, reader.next(decode_to_hub)).await;
        let who = match first {
            Ok(Ok(Some((word, _)))) => self.let_in(word, &frames),
            _ => None,
        };
        if let Some(who) = &who {
            while let Ok(Ok(Some((word, content)))) =
                tokio::time::timeout(SILENCE, reader.next(decode_to_hub)).await
            {
                if self.hear(who, word, content, &frames).is_err() {
                    break;
                }
            }
            self.left(who);
        }
        drop(frames);
        // What was said last still goes out, to a client that takes it.
        let _ = tokio::time::timeout(FIRST_WORD, writer).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the first word; says why not, or welcomes.
    fn let_in(&self, word: ToHub, frames: &Frames) -> Option<Who> {
        let mut state = self.state();
        state.next += 1;
        let connection = state.next;
        match word {
            ToHub::Engine { key, store } if blake3::hash(key.as_bytes()) == self.key => {
                say(frames, &FromHub::Welcome { kept: 0, log: 0 });
                state.engines.insert(store.clone(), (connection, frames.clone()));
                Some(Who::Engine { store, connection })
            }
            ToHub::Agent { attempt, key, incarnation } => {
                // The same answer for an attempt that is not there and for a wrong secret.
                let refuse = |reason: &str| {
                    say(frames, &FromHub::Refused { reason: reason.to_owned() });
                    None
                };
                let State { attempts, engines, closed, .. } = &mut *state;
                let young = self.began.elapsed() < YOUTH;
                if young && !attempts.contains_key(&attempt) && !closed.contains(&attempt) {
                    return None;
                }
                let found = attempts.get_mut(&attempt).filter(|a| {
                    blake3::Hash::from_hex(&a.spool.opened.key)
                        .is_ok_and(|k| k == blake3::hash(key.as_bytes()))
                });
                let Some(found) = found else { return refuse("no such attempt, or another secret") };
                let first = found.spool.opened.incarnation.is_empty();
                if !first && found.spool.opened.incarnation != incarnation {
                    return refuse("another agent runs this attempt");
                }
                if first && found.spool.came(&incarnation).is_err() {
                    return None;
                }
                say(frames, &FromHub::Welcome { kept: found.spool.kept, log: found.spool.length });
                for request in found.waiting.drain(..) {
                    say(frames, &FromHub::Request(request));
                }
                found.agent = Some((connection, frames.clone()));
                if let Some(engine) = found.engine(engines) {
                    say(engine, &found.arrival());
                }
                Some(Who::Agent { attempt, connection })
            }
            _ => {
                say(frames, &FromHub::Refused { reason: "not let in".to_owned() });
                None
            }
        }
    }

    /// Forgets a connection, unless a newer one took its place.
    fn left(&self, who: &Who) {
        let mut state = self.state();
        match who {
            Who::Engine { store, connection } => {
                if state.engines.get(store).is_some_and(|(c, _)| c == connection) {
                    state.engines.remove(store);
                }
                for attempt in state.attempts.values_mut().filter(|a| a.opened_by == Some(*connection)) {
                    (attempt.opened_by, attempt.alone) = (None, Instant::now());
                }
            }
            Who::Agent { attempt, connection } => {
                if let Some(attempt) = state.attempts.get_mut(attempt)
                    && attempt.agent.as_ref().is_some_and(|(c, _)| c == connection)
                {
                    attempt.agent = None;
                }
            }
        }
    }

    fn hear(&self, who: &Who, word: ToHub, content: Vec<u8>, frames: &Frames) -> io::Result<()> {
        match word {
            ToHub::Missing { id, digests } => {
                let digests = digests.into_iter().filter(|d| !self.objects.has(d)).collect();
                say(frames, &FromHub::Missing { id, digests });
            }
            ToHub::Get { id, digest } => {
                let found = self.objects.get(&digest).ok();
                let word = FromHub::Object { id, found: found.is_some() };
                say_with(frames, &word, &found.unwrap_or_default());
            }
            ToHub::Put { id, digest } => {
                let error = if blake3::hash(&content).to_hex().as_str() == digest {
                    self.objects.put(&content).err().map(|e| e.to_string())
                } else {
                    Some("its content has another digest".to_owned())
                };
                say(frames, &FromHub::Stored { id, error });
            }
            ToHub::Ping => match who {
                Who::Agent { attempt, .. } => {
                    let state = self.state();
                    let away = state.attempts.get(attempt).map_or(0, |a| a.away(&state.engines).as_secs());
                    say(frames, &FromHub::Lease { away });
                }
                Who::Engine { .. } => say(frames, &FromHub::Pong),
            },
            word => match who {
                Who::Agent { attempt, .. } => self.of_agent(attempt, word, &content, frames)?,
                Who::Engine { store, connection } => self.of_engine(store, *connection, word, frames)?,
            },
        }
        Ok(())
    }

    fn of_agent(&self, attempt: &str, word: ToHub, content: &[u8], frames: &Frames) -> io::Result<()> {
        let mut state = self.state();
        let State { attempts, engines, .. } = &mut *state;
        let Some(attempt) = attempts.get_mut(attempt) else {
            say(frames, &FromHub::Refused { reason: "the attempt is over".to_owned() });
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        let engine = attempt.engine(engines);
        match word {
            ToHub::Message(message) => {
                if message.token != attempt.spool.opened.attempt {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                let new = message.seq == 0 || attempt.spool.keep(&message)?;
                if message.seq > 0 {
                    say(frames, &FromHub::Kept { seq: attempt.spool.kept });
                }
                if let Some(engine) = engine.filter(|_| new) {
                    say(engine, &FromHub::Message(message));
                }
            }
            ToHub::Log { offset } => {
                attempt.spool.keep_log(offset, content)?;
                say(frames, &FromHub::LogKept { upto: attempt.spool.length });
                if let Some(engine) = engine {
                    attempt.pump(engine);
                }
            }
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        Ok(())
    }

    fn of_engine(&self, store: &str, connection: u64, word: ToHub, frames: &Frames) -> io::Result<()> {
        let mut state = self.state();
        let mine = |attempt: &Attempt| attempt.spool.opened.store == store;
        match word {
            ToHub::Open { attempt, key } => {
                if !state.attempts.contains_key(&attempt) && !key.is_empty() {
                    let (attempt, store, key) = (attempt.clone(), store.to_owned(), key.clone());
                    let opened = Opened { attempt, store, key, incarnation: String::new() };
                    let spool = Spool::open(&self.attempts, opened)?;
                    state.attempts.insert(spool.opened.attempt.clone(), Attempt::new(spool));
                }
                if let Some(attempt) = state.attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    attempt.spool.rekey(&key)?;
                    attempt.open(connection, frames);
                }
            }
            ToHub::Close { attempt } => {
                if state.attempts.get(&attempt).is_some_and(mine)
                    && let Some(closed) = state.attempts.remove(&attempt)
                {
                    closed.spool.close();
                    state.closed.insert(attempt);
                }
            }
            ToHub::Request(request) => {
                if let Some(attempt) = state.attempts.get_mut(token_of(&request)).filter(|a| mine(a)) {
                    attempt.request(request);
                }
            }
            ToHub::LogKept { attempt, upto } => {
                if let Some(attempt) = state.attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    attempt.taken = attempt.taken.max(upto);
                    attempt.pump(frames);
                }
            }
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        Ok(())
    }
}

enum Who {
    Engine { store: String, connection: u64 },
    Agent { attempt: String, connection: u64 },
}

impl Attempt {
    fn new(spool: Spool) -> Self {
        Self {
            spool,
            agent: None,
            opened_by: None,
            alone: Instant::now(),
            waiting: Vec::new(),
            sent: 0,
            taken: 0,
        }
    }

    /// Returns the way to the engine that opened it, if that is still there.
    fn engine<'a>(&self, engines: &'a BTreeMap<String, (u64, Frames)>) -> Option<&'a Frames> {
        let (connection, frames) = engines.get(&self.spool.opened.store)?;
        (self.opened_by == Some(*connection)).then_some(frames)
    }

    /// Returns how long no engine has had it open.
    fn away(&self, engines: &BTreeMap<String, (u64, Frames)>) -> Duration {
        if self.engine(engines).is_some() { Duration::ZERO } else { self.alone.elapsed() }
    }

    /// Tells an engine all that it may not have heard.
    fn open(&mut self, connection: u64, engine: &Frames) {
        self.opened_by = Some(connection);
        if !self.spool.opened.incarnation.is_empty() {
            say(engine, &self.arrival());
        }
        for message in &self.spool.messages {
            say(engine, &FromHub::Message(message.clone()));
        }
        self.sent = self.taken;
        self.pump(engine);
    }

    fn arrival(&self) -> FromHub {
        let opened = &self.spool.opened;
        FromHub::Agent { attempt: opened.attempt.clone(), incarnation: opened.incarnation.clone() }
    }

    /// Sends what the engine does not have of the log, as far as the window goes.
    fn pump(&mut self, engine: &Frames) {
        while self.sent < self.spool.length && self.sent < self.taken + WINDOW {
            let Ok(bytes) = self.spool.log(self.sent, PIECE) else { return };
            let word = FromHub::Log { attempt: self.spool.opened.attempt.clone(), offset: self.sent };
            say_with(engine, &word, &bytes);
            self.sent += bytes.len() as u64;
        }
    }

    fn request(&mut self, request: AgentRequest) {
        if let AgentRequest::Acknowledge { seq, .. } = &request {
            self.spool.acknowledged(*seq);
        }
        match &self.agent {
            Some((_, agent)) => say(agent, &FromHub::Request(request)),
            None => self.waiting.push(request),
        }
    }
}

fn token_of(request: &AgentRequest) -> &str {
    match request {
        AgentRequest::Start { spec, .. } => &spec.token,
        AgentRequest::Cancel { token, .. }
        | AgentRequest::Kill { token }
        | AgentRequest::Acknowledge { token, .. }
        | AgentRequest::Reply { token, .. } => token,
    }
}

fn say(frames: &Frames, word: &FromHub) {
    say_with(frames, word, &[]);
}

fn say_with(frames: &Frames, word: &FromHub, content: &[u8]) {
    // A client that is gone hears it again after its next connection.
    if let Ok(frame) = encode_hub(word, content) {
        let _ = frames.send(frame);
    }
}

async fn write(mut to: impl AsyncWrite + Unpin, mut queue: UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if to.write_all(&frame).await.is_err() {
            return;
        }
        if queue.is_empty() && to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
