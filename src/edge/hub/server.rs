//! The hub: agents come with the secret of their attempt, engines with the hub's own.

use super::attempt::{Attempt, Engines};
use super::bucket::Bucket;
use super::ledger::Ledger;
use super::outgoing::{Frames, write};
use super::shelf::{SharedAccess, Shelf};
use super::spool::Spool;
use super::stream::WordReader;
use super::threshold::{Stranger, Threshold};
use super::tls::Identity;
use crate::store::StoreError;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
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

/// How often it is looked at what nobody needs any more.
const SWEEP: Duration = Duration::from_mins(10);
/// How often what stores rely on is written down.
const WRITE: Duration = Duration::from_secs(5);
/// How often what nobody needs is collected; the first time so long after the start.
const COLLECT: Duration = Duration::from_hours(1);
/// An attempt that nobody came for in this time goes: its engine and its pod are gone for good.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);
/// Agents of closed attempts are told so for this long; those that come later are passed over.
const CLOSED: Duration = Duration::from_hours(1);

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
    pub(super) attempts: PathBuf,
    pub(super) shelf: Shelf,
    /// Requests to the object store at once.
    pub(super) at_store: Semaphore,
    /// What stores rely on.
    pub(super) ledger: Ledger,
    /// One collection at a time.
    pub(super) collecting: tokio::sync::Mutex<()>,
    /// When this process began.
    pub(super) started: SystemTime,
    /// blake3 of the engines' secret.
    key: blake3::Hash,
    state: Mutex<State>,
    /// An unknown client has this long for its first word.
    first_word: Duration,
    /// One that is known has this long for its next word, and for taking one.
    silence: Duration,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) attempts: BTreeMap<String, Attempt>,
    pub(super) engines: Engines,
    /// Attempts that an engine closed while this process lived, and when.
    pub(super) closed: BTreeMap<String, Instant>,
    /// Attempts whose log waits until their engine has read some.
    pub(super) behind: VecDeque<String>,
    /// Why the object store does not answer.
    store_problem: Option<String>,
    /// Why this hub's own disk takes nothing.
    pub(super) disk_problem: Option<String>,
    /// Numbers connections.
    next: u64,
}

impl State {
    /// Says a word to every engine.
    pub(super) fn tell(&self, word: &FromHub) {
        self.engines.values().for_each(|engine| engine.say(word));
    }
}

/// Takes over what is known of a problem; tells whether it came or is over now. What it is called may change.
pub(super) fn changed(known: &mut Option<String>, problem: Option<&String>) -> bool {
    let changed = known.is_some() != problem.is_some();
    if changed {
        *known = problem.cloned();
    }
    changed
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
            shelf: Shelf::open(folder, bucket)?,
            at_store: Semaphore::new(AT_STORE),
            attempts,
            ledger: Ledger::default(),
            collecting: tokio::sync::Mutex::default(),
            started: SystemTime::now(),
            key: blake3::hash(key.as_bytes()),
            state: Mutex::new(state),
            first_word: FIRST_WORD,
            silence: SILENCE,
        })
    }

    /// The same with less patience, for tests.
    #[cfg(test)]
    pub(super) fn with_patience(mut self, first_word: Duration) -> Self {
        self.first_word = first_word;
        self
    }

    /// The same for clients that say and read nothing for long, for tests.
    #[cfg(test)]
    pub(super) fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Bytes that wait for engines, for tests.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.state().engines.values().map(Frames::queued).sum()
    }

    /// Serves connections until the listener fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, identity: &Identity) -> Result<(), HubError> {
        let wrong = |doing: &str, source| HubError::Io { doing: doing.to_owned(), source };
        let acceptor = TlsAcceptor::from(identity.server_config().map_err(|e| wrong("the certificate", e))?);
        let threshold = Arc::new(Threshold::default());
        let tidy = self.clone();
        tokio::spawn(async move { tidy.tidy().await });
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
        let writer = tokio::spawn(write(writing, queue, self.shelf.objects.clone(), self.silence));
        let mut reader = WordReader::new(reading, self.silence);
        reader.limit(FIRST_FRAME);
        let first = tokio::time::timeout(self.first_word, reader.next(decode_to_hub)).await;
        let who = match first {
            Ok(Ok(Some(word))) => self.let_in(word, &frames),
            Ok(Err(error)) => {
                self.does_not_know(None, &error, &frames);
                None
            }
            _ => None,
        };
        drop(stranger);
        reader.limit(HUB_FRAME_LIMIT);
        if let Some(who) = &who {
            let catching_up = match who {
                Who::Engine { connection, .. } => {
                    Some(tokio::spawn(self.clone().catch_up(*connection, frames.clone())))
                }
                Who::Agent { .. } => None,
            };
            loop {
                // Whoever does not read is not listened to.
                let word = async {
                    frames.room().await;
                    reader.next(decode_to_hub).await
                };
                let word = tokio::select! {
                    word = word => word,
                    () = frames.over.notified() => break,
                };
                let word = match word {
                    Ok(Some(word)) => word,
                    Ok(None) => break,
                    Err(error) => {
                        self.does_not_know(Some(who), &error, &frames);
                        break;
                    }
                };
                if self.hear(who, word, &mut reader, &frames).await.is_err() {
                    break;
                }
            }
            self.left(who);
            // It holds the way to the client open.
            catching_up.inspect(tokio::task::JoinHandle::abort);
        }
        drop(frames);
        // What was said last still goes out, to a client that takes it.
        let _ = tokio::time::timeout(FIRST_WORD, writer).await;
    }

    /// Says which hub of all this is; who knows it knows nothing of the secret.
    pub(super) fn name(&self) -> String {
        blake3::hash(self.key.as_bytes()).to_hex().to_string()
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
                let bucket = self.shelf.bucket.is_some();
                frames.say(&FromHub::Welcome { kept: 0, log: 0, store: bucket, collects: true });
                if state.store_problem.is_some() {
                    frames.say(&FromHub::Store { problem: state.store_problem.clone() });
                }
                if state.disk_problem.is_some() {
                    frames.say(&FromHub::Disk { problem: state.disk_problem.clone() });
                }
                state.engines.insert(connection, frames.clone());
                Some(Who::Engine { store, connection })
            }
            ToHub::Agent { attempt, key, incarnation, version } => {
                let State { attempts, engines, closed, .. } = &mut *state;
                if closed.contains_key(&attempt) {
                    return refuse("the attempt is over");
                }
                // A hub that lost its folder hears of it as soon as the attempt's engine comes, which may be away for
                // long: the agent comes again, and ends by itself if nobody does.
                let found = attempts.get_mut(&attempt)?;
                let key = blake3::hash(key.as_bytes());
                if !blake3::Hash::from_hex(&found.spool.opened.key).is_ok_and(|own| own == key) {
                    return refuse("another secret");
                }
                let first = found.spool.opened.incarnation.is_empty();
                if !first && found.spool.opened.incarnation != incarnation {
                    return refuse("another agent runs this attempt");
                }
                // What cannot be written now is known as long as this process lives.
                let _ = found.spool.came(&incarnation, &version);
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

    /// Sends an agent away whose attempt is over.
    pub(super) fn is_open(&self, who: &Who, frames: &Frames) -> io::Result<()> {
        match who {
            Who::Agent { attempt, .. } if !self.state().attempts.contains_key(attempt) => Err(over(frames)),
            _ => Ok(()),
        }
    }

    /// The object store answers, or it does not: engines hear of a change.
    pub(super) fn store_is(&self, problem: Option<String>) {
        let state = &mut *self.state();
        if changed(&mut state.store_problem, problem.as_ref()) {
            state.tell(&FromHub::Store { problem });
        }
    }

    /// Looks now and then at what nobody needs any more.
    async fn tidy(self: Arc<Self>) {
        if let Some(bucket) = &self.shelf.bucket {
            let _ = bucket.is_own(&self.name()).await;
        }
        let mut swept = Instant::now();
        let mut collected = Instant::now();
        loop {
            tokio::time::sleep(WRITE).await;
            // What cannot be written now is tried again.
            let _ = self.write_claims().await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep(FORGOTTEN, CLOSED);
            }
            if collected.elapsed() >= COLLECT {
                collected = Instant::now();
                let _ = self.collect(None, SystemTime::now(), false).await;
            }
        }
    }

    /// Removes attempts that nobody came for, and forgets which were closed.
    pub(super) fn sweep(&self, forgotten: Duration, closed: Duration) {
        let mut state = self.state();
        state.closed.retain(|_, since| since.elapsed() < closed);
        let State { attempts, engines, .. } = &mut *state;
        let gone =
            |a: &Attempt| a.agent.is_none() && a.engine(engines).is_none() && a.alone.elapsed() >= forgotten;
        let gone: Vec<String> =
            attempts.iter().filter(|(_, a)| gone(a)).map(|(token, _)| token.clone()).collect();
        for attempt in gone.iter().filter_map(|token| attempts.remove(token)) {
            attempt.spool.close();
        }
    }
}

/// Says that the attempt is over.
pub(super) fn over(frames: &Frames) -> io::Error {
    frames.say(&FromHub::Refused { reason: "the attempt is over".to_owned() });
    io::ErrorKind::ConnectionAborted.into()
}
