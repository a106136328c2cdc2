//! The hub: agents come with the secret of their attempt, engines with the hub's own.

use super::access::{digest_of, handed_on};
use super::attempt::{Attempt, Engines};
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
use tidegate_flow::job::{AgentRequest, JobMessage};
use tidegate_flow::wire::v1::{FromHub, HUB_FRAME_LIMIT, ToHub, decode_to_hub};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A connection over which nothing comes for this long is gone: clients ping every few seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// An unknown client has this long for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);
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
    shelf: Shelf,
    /// blake3 of the engines' secret.
    key: blake3::Hash,
    state: Mutex<State>,
    began: Instant,
    /// An unknown client has this long for its first word.
    first_word: Duration,
}

#[derive(Default)]
struct State {
    attempts: BTreeMap<String, Attempt>,
    engines: Engines,
    /// Attempts that an engine closed while this process lived.
    closed: BTreeSet<String>,
    /// Numbers connections.
    next: u64,
}

/// Who is let in.
enum Who {
    Engine { store: String, connection: u64 },
    Agent { attempt: String, connection: u64, access: SharedAccess },
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
            shelf: Shelf::open(&folder.join("objects"))?,
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
    async fn client(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static, stranger: Stranger) {
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

    fn state(&self) -> MutexGuard<'_, State> {
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
                frames.say(&FromHub::Welcome { kept: 0, log: 0 });
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
                found.came(connection, frames);
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
        &self,
        who: &Who,
        word: ToHub,
        reader: &mut WordReader<R>,
        frames: &Frames,
    ) -> io::Result<()> {
        match (word, who) {
            (ToHub::Missing { id, digests }, who) => {
                let there = |d: &String| self.may_have(who, d) && self.shelf.objects.has(d);
                let digests = digests.into_iter().filter(|d| !there(d)).collect();
                frames.say(&FromHub::Missing { id, digests });
                self.is_open(who, frames)
            }
            (ToHub::Get { id, digest }, who) => {
                self.is_open(who, frames)?;
                if self.may_have(who, &digest) {
                    frames.object(id, digest);
                } else {
                    frames.say(&FromHub::Object { id, found: false });
                }
                Ok(())
            }
            (ToHub::Put { id, digest }, who) => {
                self.is_open(who, frames)?;
                let error = self.put(who, &digest, reader).await?.err().map(|e| match e {
                    StoreError::Damaged(_) => "its content has another digest".to_owned(),
                    other => other.to_string(),
                });
                frames.say(&FromHub::Stored { id, error });
                Ok(())
            }
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
            (word, Who::Agent { attempt, access, .. }) => {
                let content = reader.small().await?;
                self.of_agent(attempt, access, word, &content, frames)
            }
            (word, Who::Engine { store, connection }) => self.of_engine(store, *connection, word, frames),
        }
    }

    /// An engine may have everything: the hub's secret is the namespace's.
    fn may_have(&self, who: &Who, digest: &str) -> bool {
        match who {
            Who::Engine { .. } => true,
            Who::Agent { access, .. } => self.shelf.may_have(access, digest),
        }
    }

    /// Sends an agent away whose attempt is over.
    fn is_open(&self, who: &Who, frames: &Frames) -> io::Result<()> {
        match who {
            Who::Agent { attempt, .. } if !self.state().attempts.contains_key(attempt) => Err(over(frames)),
            _ => Ok(()),
        }
    }

    /// Keeps an object, whose content comes next; an agent may have it from then on.
    async fn put<R: AsyncRead + Unpin>(
        &self,
        who: &Who,
        digest: &str,
        reader: &mut WordReader<R>,
    ) -> io::Result<Result<(), StoreError>> {
        let Some(known) = digest_of(digest) else {
            return Ok(Err(StoreError::Damaged(digest.to_owned())));
        };
        let mut incoming = match self.shelf.objects.begin() {
            Ok(incoming) => incoming,
            Err(error) => return Ok(Err(error)),
        };
        let kept = reader.object(&mut incoming).await?;
        if let Err(error) = kept.and_then(|()| incoming.finish(&self.shelf.objects, digest)) {
            return Ok(Err(error));
        }
        if let Who::Agent { attempt, access, .. } = who {
            let mut state = self.state();
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.spool.put(&known)?;
            }
            access.lock().unwrap_or_else(PoisonError::into_inner).put(known);
        }
        Ok(Ok(()))
    }

    /// Tells whether an attempt may say this: what it hands on to others has to be its own, or given to it.
    fn may_say(&self, access: &SharedAccess, message: &JobMessage) -> bool {
        handed_on(message).into_iter().all(|artifact| self.shelf.may_hand_on(access, artifact))
    }

    fn of_agent(
        &self,
        attempt: &str,
        access: &SharedAccess,
        word: ToHub,
        content: &[u8],
        frames: &Frames,
    ) -> io::Result<()> {
        if let ToHub::Message(message) = &word
            && !self.may_say(access, message)
        {
            let reason = "it hands on what the hub does not have of it; what it gave may be lost";
            frames.say(&FromHub::Refused { reason: reason.to_owned() });
            return Err(io::ErrorKind::PermissionDenied.into());
        }
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
