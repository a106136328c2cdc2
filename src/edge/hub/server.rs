//! The hub: agents come with the secret of their attempt, engines with the hub's own.

use super::access::digest_of;
use super::attempt::{Attempt, Engines};
use super::bucket::Bucket;
use super::outgoing::{Frames, write};
use super::shelf::{SharedAccess, Shelf};
use super::spool::{Opened, Spool};
use super::stream::WordReader;
use super::threshold::{Stranger, Threshold};
use super::tls::Identity;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::{AgentRequest, ArtifactRef, MessageBody};
use tidegate_flow::wire::v1::{FromHub, HUB_FRAME_LIMIT, ToHub, decode_to_hub};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// A connection over which nothing comes for this long is gone: clients ping every few seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// An unknown client has this long for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Requests to the object store at once, of all clients.
const AT_STORE: usize = 64;
/// Bytes of an unknown client's first word.
const FIRST_FRAME: u32 = 64 << 10;

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
    pub(super) shelf: Shelf,
    /// Requests to the object store at once.
    pub(super) at_store: Semaphore,
    /// blake3 of the engines' secret.
    key: blake3::Hash,
    state: Mutex<State>,
    began: Instant,
    /// An unknown client has this long for its first word.
    first_word: Duration,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) attempts: BTreeMap<String, Attempt>,
    engines: Engines,
    /// Attempts that an engine closed while this process lived.
    closed: BTreeSet<String>,
    /// Why the object store does not answer.
    store_problem: Option<String>,
    /// Numbers connections.
    next: u64,
}

/// Who is let in.
#[derive(Clone)]
pub(super) enum Who {
    Engine { store: String, connection: u64 },
    Agent { attempt: String, connection: u64, access: SharedAccess },
}

impl Who {
    /// Whose place in an object store it puts things at, before they are objects.
    pub(super) fn place(&self) -> &str {
        match self {
            Self::Engine { store, .. } => store,
            Self::Agent { attempt, .. } => attempt,
        }
    }
}

impl Hub {
    /// Takes up what a former process left in `folder`; `key` is the engines' secret. Objects are in `bucket`,
    /// or in the folder.
    pub fn open(folder: &Path, key: &str, bucket: Option<Bucket>) -> Result<Self, HubError> {
        let attempts = folder.join("attempts");
        let wrong = |source| HubError::Io { doing: format!("reading {}", attempts.display()), source };
        let mut state = State::default();
        for spool in Spool::load_all(&attempts).map_err(wrong)? {
            state.attempts.insert(spool.opened.attempt.clone(), Attempt::new(spool));
        }
        Ok(Self {
            shelf: Shelf::open(&folder.join("objects"), bucket)?,
            at_store: Semaphore::new(AT_STORE),
            attempts,
            key: blake3::hash(key.as_bytes()),
            state: Mutex::new(state),
            began: Instant::now(),
            first_word: FIRST_WORD,
        })
    }

    /// The same with less patience, for tests.
    #[cfg(test)]
    pub(super) fn with_patience(mut self, first_word: Duration) -> Self {
        self.first_word = first_word;
        self
    }

    /// Serves connections until the listener fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, identity: &Identity) -> Result<(), HubError> {
        let wrong = |doing: &str, source| HubError::Io { doing: doing.to_owned(), source };
        let acceptor = TlsAcceptor::from(identity.server_config().map_err(|e| wrong("the certificate", e))?);
        let threshold = Arc::new(Threshold::default());
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                // A client that went away, or no descriptors for the moment.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted || e.raw_os_error() == Some(24) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(e) => return Err(wrong("accepting connections", e)),
            };
            // Clients come again.
            let Some(stranger) = threshold.enter(address.ip()) else { continue };
            let _ = stream.set_nodelay(true);
            let (hub, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let shaken = tokio::time::timeout(hub.first_word, acceptor.accept(stream)).await;
                if let Ok(Ok(stream)) = shaken {
                    hub.client(stream, stranger).await;
                }
            });
        }
    }

    /// Serves one client to its end.
    async fn client(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        stranger: Stranger,
    ) {
        let (reading, writing) = tokio::io::split(stream);
        let (frames, queue) = Frames::new();
        let writer = tokio::spawn(write(writing, queue, self.shelf.objects.clone(), SILENCE));
        let mut reader = WordReader::new(reading, SILENCE);
        reader.limit(FIRST_FRAME);
        let first = tokio::time::timeout(self.first_word, reader.next(decode_to_hub)).await;
        let who = match first {
            Ok(Ok(Some(word))) => self.let_in(word, &frames),
            _ => None,
        };
        drop(stranger);
        reader.limit(HUB_FRAME_LIMIT);
        if let Some(who) = &who {
            loop {
                let word = tokio::select! {
                    word = reader.next(decode_to_hub) => word,
                    () = frames.over.notified() => break,
                };
                let Ok(Some(word)) = word else { break };
                if frames.is_full() || self.hear(who, word, &mut reader, &frames).await.is_err() {
                    break;
                }
            }
            self.left(who);
        }
        drop(frames);
        // What was said last still goes out, to a client that takes it.
        let _ = tokio::time::timeout(FIRST_WORD, writer).await;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the first word; says why not, or welcomes.
    fn let_in(&self, word: ToHub, frames: &Frames) -> Option<Who> {
        let refuse = |reason: &str| {
            frames.say(&FromHub::Refused { reason: reason.to_owned() });
            None
        };
        let mut state = self.state();
        state.next += 1;
        let connection = state.next;
        match word {
            ToHub::Engine { key, store } if blake3::hash(key.as_bytes()) == self.key => {
                frames.say(&FromHub::Welcome { kept: 0, log: 0, store: self.shelf.bucket.is_some() });
                if state.store_problem.is_some() {
                    frames.say(&FromHub::Store { problem: state.store_problem.clone() });
                }
                state.engines.insert(connection, frames.clone());
                Some(Who::Engine { store, connection })
            }
            ToHub::Agent { attempt, key, incarnation } => {
                let State { attempts, engines, closed, .. } = &mut *state;
                let young = self.began.elapsed() < YOUTH;
                if young && !attempts.contains_key(&attempt) && !closed.contains(&attempt) {
                    return None;
                }
                let found = attempts.get_mut(&attempt).filter(|a| {
                    blake3::Hash::from_hex(&a.spool.opened.key)
                        .is_ok_and(|k| k == blake3::hash(key.as_bytes()))
                });
                // The same answer for an attempt that is not there and for a wrong secret.
                let Some(found) = found else { return refuse("no such attempt, or another secret") };
                let first = found.spool.opened.incarnation.is_empty();
                if !first && found.spool.opened.incarnation != incarnation {
                    return refuse("another agent runs this attempt");
                }
                if first && found.spool.came(&incarnation).is_err() {
                    return None;
                }
                found.came(connection, frames, self.shelf.bucket.is_some());
                if let Some(engine) = found.engine(engines) {
                    engine.say(&found.arrival());
                }
                Some(Who::Agent { attempt, connection, access: found.access.clone() })
            }
            _ => refuse("not let in"),
        }
    }

    /// Forgets a connection, unless a newer one took its place.
    fn left(&self, who: &Who) {
        let mut state = self.state();
        match who {
            Who::Engine { connection, .. } => {
                state.engines.remove(connection);
                for attempt in state.attempts.values_mut().filter(|a| a.opened_by == Some(*connection)) {
                    (attempt.opened_by, attempt.alone) = (None, Instant::now());
                }
            }
            Who::Agent { attempt, connection, .. } => {
                if let Some(attempt) = state.attempts.get_mut(attempt)
                    && attempt.agent.as_ref().is_some_and(|(c, _)| c == connection)
                {
                    attempt.agent = None;
                }
            }
        }
    }

    async fn hear<R: AsyncRead + Unpin>(
        self: &Arc<Self>,
        who: &Who,
        word: ToHub,
        reader: &mut WordReader<R>,
        frames: &Frames,
    ) -> io::Result<()> {
        let Some(word) = self.question(who, word, reader, frames).await? else { return Ok(()) };
        match (word, who) {
            (ToHub::Ping, Who::Agent { attempt, .. }) => {
                let state = self.state();
                let away = state.attempts.get(attempt).map_or(0, |a| a.away(&state.engines).as_secs());
                frames.say(&FromHub::Lease { away });
                Ok(())
            }
            (ToHub::Ping, Who::Engine { .. }) => {
                frames.say(&FromHub::Pong);
                Ok(())
            }
            (mut word, Who::Agent { attempt, .. }) => {
                let content = reader.small().await?;
                if let ToHub::Message(message) = &mut word {
                    match self.may_say(who, message, frames).await {
                        Some(true) => {}
                        // A hub that lost its disk has not what was saved, and the next save brings it. Only the number
                        // is kept.
                        Some(false) if matches!(message.body, MessageBody::Saved { .. }) => {
                            message.body = MessageBody::Saved { artifact: ArtifactRef::default() };
                        }
                        Some(false) => return Err(not_its_own(frames)),
                        None => return Err(io::ErrorKind::ConnectionAborted.into()),
                    }
                }
                self.of_agent(attempt, word, &content, frames)
            }
            (word, Who::Engine { store, connection }) => self.of_engine(store, *connection, word, frames),
        }
    }

    /// Sends an agent away whose attempt is over.
    pub(super) fn is_open(&self, who: &Who, frames: &Frames) -> io::Result<()> {
        match who {
            Who::Agent { attempt, .. } if !self.state().attempts.contains_key(attempt) => Err(over(frames)),
            _ => Ok(()),
        }
    }

    /// The object store answers, or it does not: engines hear of a change.
    pub(super) fn store_is(&self, problem: Option<String>) {
        let mut state = self.state();
        if state.store_problem.is_some() == problem.is_some() {
            return;
        }
        state.store_problem.clone_from(&problem);
        for engine in state.engines.values() {
            engine.say(&FromHub::Store { problem: problem.clone() });
        }
    }

    fn of_agent(&self, attempt: &str, word: ToHub, content: &[u8], frames: &Frames) -> io::Result<()> {
        let mut state = self.state();
        let State { attempts, engines, .. } = &mut *state;
        let Some(attempt) = attempts.get_mut(attempt) else { return Err(over(frames)) };
        let engine = attempt.engine(engines);
        match word {
            ToHub::Message(message) => {
                if message.token != attempt.spool.opened.attempt {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                let new = message.seq == 0 || attempt.spool.keep(&message)?;
                if message.seq > 0 {
                    frames.say(&FromHub::Kept { seq: attempt.spool.kept });
                }
                if let Some(engine) = engine.filter(|_| new) {
                    engine.say(&FromHub::Message(message));
                }
            }
            ToHub::Log { offset } => {
                attempt.spool.keep_log(offset, content)?;
                frames.say(&FromHub::LogKept { upto: attempt.spool.length });
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
            ToHub::Open { attempt, key, spec } => {
                if !state.attempts.contains_key(&attempt) && !key.is_empty() {
                    let (attempt, store, key) = (attempt.clone(), store.to_owned(), key.clone());
                    let opened = Opened { attempt, store, key, ..Opened::default() };
                    let spool = Spool::open(&self.attempts, opened)?;
                    state.attempts.insert(spool.opened.attempt.clone(), Attempt::new(spool));
                }
                if let Some(attempt) = state.attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    attempt.spool.rekey(&key)?;
                    attempt.spool.is(&spec)?;
                    let spec = digest_of(&attempt.spool.opened.spec);
                    attempt.access.lock().unwrap_or_else(PoisonError::into_inner).is(spec);
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
                    attempt.request(request)?;
                }
            }
            ToHub::LogKept { attempt, upto } => {
                if let Some(attempt) = state.attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    attempt.log_kept(upto, frames);
                }
            }
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        Ok(())
    }
}

/// Says that a message hands on what is not the attempt's.
fn not_its_own(frames: &Frames) -> io::Error {
    let reason = "it hands on what the hub does not have of it; what it gave may be lost";
    frames.say(&FromHub::Refused { reason: reason.to_owned() });
    io::ErrorKind::PermissionDenied.into()
}

/// Says that the attempt is over.
fn over(frames: &Frames) -> io::Error {
    frames.say(&FromHub::Refused { reason: "the attempt is over".to_owned() });
    io::ErrorKind::ConnectionAborted.into()
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
