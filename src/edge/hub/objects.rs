//! Objects of a hub: asked for, given, and mirrored in a folder.

use super::client::Connection;
use crate::store::{EntryKind, FileObjects, Objects, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// Objects on their way at once.
const AT_ONCE: usize = 4;

/// Questions about objects, asked again over each new connection until they are answered.
#[derive(Default)]
pub struct HubObjects {
    connection: OnceLock<Connection>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    questions: BTreeMap<u64, Question>,
    /// Why nobody will answer any more.
    over: Option<String>,
}

struct Question {
    word: ToHub,
    content: Arc<Vec<u8>>,
    answer: SyncSender<(FromHub, Vec<u8>)>,
}

impl HubObjects {
    /// Asks over this connection from now on.
    pub fn connect(&self, connection: Connection) {
        let _ = self.connection.set(connection);
    }

    /// A new connection stands: asks again.
    pub fn again(&self, connection: &Connection) {
        for question in self.waiting().questions.values() {
            connection.say_with(&question.word, &question.content);
        }
    }

    /// Takes an answer; gives back what is none.
    pub fn answer(&self, word: FromHub, content: Vec<u8>) -> Option<(FromHub, Vec<u8>)> {
        let (FromHub::Missing { id, .. } | FromHub::Object { id, .. } | FromHub::Stored { id, .. }) = &word
        else {
            return Some((word, content));
        };
        if let Some(question) = self.waiting().questions.remove(id) {
            let _ = question.answer.send((word, content));
        }
        None
    }

    /// Nobody will answer any more.
    pub fn over(&self, reason: &str) {
        let mut waiting = self.waiting();
        waiting.over = Some(reason.to_owned());
        waiting.questions.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        make: impl FnOnce(u64) -> ToHub,
        content: Vec<u8>,
    ) -> Result<(FromHub, Vec<u8>), StoreError> {
        let gone = |reason: &str| StoreError::Io {
            doing: "asking",
            path: "the hub".to_owned(),
            source: io::Error::other(reason.to_owned()),
        };
        let (answer, answered) = sync_channel(1);
        {
            let mut waiting = self.waiting();
            if let Some(reason) = &waiting.over {
                return Err(gone(reason));
            }
            waiting.next += 1;
            let id = waiting.next;
            let question = Question { word: make(id), content: Arc::new(content), answer };
            if let Some(connection) = self.connection.get() {
                connection.say_with(&question.word, &question.content);
            }
            waiting.questions.insert(id, question);
        }
        answered.recv().map_err(|_| gone("the connection is over"))
    }

    /// Returns which of these the hub does not have.
    pub fn missing(&self, digests: Vec<String>) -> Result<Vec<String>, StoreError> {
        match self.ask(|id| ToHub::Missing { id, digests }, Vec::new())? {
            (FromHub::Missing { digests, .. }, _) => Ok(digests),
            _ => Ok(Vec::new()),
        }
    }

    /// Fetches an object; its digest is checked.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        match self.ask(|id| ToHub::Get { id, digest: digest.to_owned() }, Vec::new())? {
            (FromHub::Object { found: true, .. }, content) => {
                if blake3::hash(&content).to_hex().as_str() == digest {
                    Ok(content)
                } else {
                    Err(StoreError::Damaged(digest.to_owned()))
                }
            }
            _ => Err(StoreError::Missing(digest.to_owned())),
        }
    }

    /// Gives an object to the hub.
    pub fn put(&self, digest: &str, content: Vec<u8>) -> Result<(), StoreError> {
        match self.ask(|id| ToHub::Put { id, digest: digest.to_owned() }, content)? {
            (FromHub::Stored { error: None, .. }, _) => Ok(()),
            (FromHub::Stored { error: Some(error), .. }, _) => Err(StoreError::Io {
                doing: "keeping an object in",
                path: "the hub".to_owned(),
                source: io::Error::other(error),
            }),
            _ => Err(StoreError::Missing(digest.to_owned())),
        }
    }

    /// Gives the hub everything of an artifact that it does not have.
    pub fn push(&self, artifact: &ArtifactRef, from: &FileObjects) -> Result<(), StoreError> {
        // A hub that has the list has had all of it: the list is given last.
        if self.missing(vec![artifact.digest.clone()])?.is_empty() {
            return Ok(());
        }
        let missing = self.missing(digests_of(artifact, from)?)?;
        in_parallel(&missing, |digest| self.put(digest, from.get(digest)?))?;
        self.put(&artifact.digest, from.get(&artifact.digest)?)
    }

    /// Fetches everything of an artifact that is not yet in `into`.
    pub fn pull(&self, artifact: &ArtifactRef, into: &FileObjects) -> Result<(), StoreError> {
        if !into.has(&artifact.digest) {
            into.put(&self.get(&artifact.digest)?)?;
        }
        let wanted: Vec<String> = digests_of(artifact, into)?.into_iter().filter(|d| !into.has(d)).collect();
        in_parallel(&wanted, |digest| into.put(&self.get(digest)?).map(drop))
    }
}

/// Returns the digests of an artifact's content, without its list.
pub fn digests_of(artifact: &ArtifactRef, objects: &FileObjects) -> Result<Vec<String>, StoreError> {
    let mut digests = BTreeSet::new();
    for entry in objects.manifest(&artifact.digest)?.entries {
        if let EntryKind::File { digest, chunks, .. } = entry.kind {
            if chunks.is_empty() {
                digests.insert(digest);
            } else {
                digests.extend(chunks);
            }
        }
    }
    Ok(digests.into_iter().collect())
}

/// Does something for each, a few at once; stops at the first error.
fn in_parallel(
    digests: &[String],
    each: impl Fn(&str) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(digests.len()) {
            scope.spawn(|| {
                while let Some(digest) = digests.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    if let Err(error) = each(digest) {
                        next.store(digests.len(), std::sync::atomic::Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// A folder of objects with a hub behind it: what is kept goes to the hub, what is not here comes from it.
pub struct Mirrored {
    here: FileObjects,
    hub: Arc<HubObjects>,
}

impl Mirrored {
    /// Makes one.
    pub fn new(here: FileObjects, hub: Arc<HubObjects>) -> Self {
        Self { here, hub }
    }
}

impl Objects for Mirrored {
    fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = self.here.put(bytes)?;
        if !self.hub.missing(vec![digest.clone()])?.is_empty() {
            self.hub.put(&digest, bytes.to_vec())?;
        }
        Ok(digest)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        match self.here.get(digest) {
            Err(StoreError::Missing(_)) => self.hub.get(digest),
            other => other,
        }
    }

    fn put_path(&self, path: &Path) -> Result<ArtifactRef, StoreError> {
        let artifact = self.here.put_path(path)?;
        self.hub.push(&artifact, &self.here)?;
        Ok(artifact)
    }

    /// Nothing is collected at the hub, and what is here lives as long as the pod.
    fn claim(&self, _artifact: &ArtifactRef) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn fetch(&self, artifact: &ArtifactRef, to: &Path) -> Result<(), StoreError> {
        self.hub.pull(artifact, &self.here)?;
        self.here.fetch(artifact, to)
    }
}
