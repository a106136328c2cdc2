//! Objects of a hub: asked for, given, and mirrored in a folder.

use super::client::Connection;
use super::questions::SMALL;
use super::transfer::{Transfers, Tries, Trouble};
use crate::store::{FileObjects, Incoming, OBJECT_LIMIT, Objects as _, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// Digests that are asked about at once.
pub(super) const ASKED_AT_ONCE: usize = 10_000;

/// Questions about objects, asked again over each new connection until they are answered.
#[derive(Default)]
pub struct HubObjects {
    connection: OnceLock<Connection>,
    waiting: Mutex<Waiting>,
    /// The hub has an object store: large objects go there by signed URLs.
    store: AtomicBool,
    transfers: OnceLock<Transfers>,
    /// The hub is told what this client's store relies on; nothing before it has said so.
    pub(super) collects: OnceLock<AtomicBool>,
}

#[derive(Default)]
pub(super) struct Waiting {
    next: u64,
    questions: BTreeMap<u64, Question>,
    /// Lists of which the hub had everything when it was asked, and when.
    pub(super) whole: BTreeMap<String, Instant>,
    /// Lists that the store relies on, as far as this process knows.
    pub(super) held: BTreeSet<String>,
    /// When the hub was last told so.
    pub(super) renewed: Option<Instant>,
    /// Why nobody will answer any more.
    over: Option<String>,
}

struct Question {
    word: ToHub,
    content: Content,
    /// Where the object goes that is asked for; otherwise it is whole in memory.
    into: Option<(Arc<FileObjects>, String)>,
    answer: SyncSender<Answered>,
}

/// An answer and its content.
pub(super) type Answered = Result<(FromHub, Vec<u8>), StoreError>;

/// What goes with a question.
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(Arc<File>, u64),
}

impl Question {
    fn ask(&self, connection: &Connection) {
        match &self.content {
            Content::Bytes(bytes) => connection.say_with(&self.word, bytes),
            Content::File(file, size) => connection.say_file(&self.word, file.clone(), *size),
        }
    }
}

impl HubObjects {
    /// Asks over this connection from now on.
    pub fn connect(&self, connection: Connection) {
        let _ = self.connection.set(connection);
    }

    /// The hub has an object store, or it has none.
    pub fn has_store(&self, store: bool) {
        self.store.store(store, Ordering::Release);
    }

    /// A new connection stands: asks again.
    pub fn again(&self, connection: &Connection) {
        for question in self.waiting().questions.values() {
            question.ask(connection);
        }
    }

    /// Where the content of an answer goes.
    pub fn landing(&self, word: &FromHub) -> Option<Incoming> {
        let FromHub::Object { id, found: true } = word else { return None };
        let into = self.waiting().questions.get(id)?.into.clone();
        // One that cannot be begun is whole in memory, and fails when it is kept.
        into.and_then(|(objects, _)| objects.begin().ok())
    }

    /// Takes an answer whose content is in a file.
    pub fn landed(&self, word: FromHub, content: Result<Incoming, StoreError>) {
        let FromHub::Object { id, .. } = &word else { return };
        let Some(question) = self.waiting().questions.remove(id) else { return };
        let kept = content.and_then(|incoming| match &question.into {
            Some((objects, digest)) => incoming.finish(objects, digest),
            None => Ok(()),
        });
        let _ = question.answer.send(kept.map(|()| (word, Vec::new())));
    }

    /// Takes an answer; gives back what is none.
    pub fn answer(&self, word: FromHub, content: Vec<u8>) -> Option<(FromHub, Vec<u8>)> {
        let (FromHub::Missing { id, .. }
        | FromHub::Object { id, .. }
        | FromHub::Stored { id, .. }
        | FromHub::Signed { id, .. }
        | FromHub::Collected { id, .. }) = &word
        else {
            return Some((word, content));
        };
        if let Some(question) = self.waiting().questions.remove(id) {
            let _ = question.answer.send(Ok((word, content)));
        }
        None
    }

    /// Nobody will answer any more.
    pub fn over(&self, reason: &str) {
        let mut waiting = self.waiting();
        waiting.over = Some(reason.to_owned());
        for question in std::mem::take(&mut waiting.questions).into_values() {
            let _ = question.answer.send(Err(gone(reason)));
        }
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(
        &self,
        make: impl FnOnce(u64) -> ToHub,
        content: Content,
        into: Option<(Arc<FileObjects>, String)>,
    ) -> Answered {
        self.question(make, content, into)?.recv().map_err(|_| gone("the connection is over"))?
    }

    pub(super) fn question(
        &self,
        make: impl FnOnce(u64) -> ToHub,
        content: Content,
        into: Option<(Arc<FileObjects>, String)>,
    ) -> Result<Receiver<Answered>, StoreError> {
        let (answer, answered) = sync_channel(1);
        {
            let mut waiting = self.waiting();
            if let Some(reason) = &waiting.over {
                return Err(gone(reason));
            }
            waiting.next += 1;
            let id = waiting.next;
            let question = Question { word: make(id), content, into, answer };
            if let Some(connection) = self.connection.get() {
                question.ask(connection);
            }
            waiting.questions.insert(id, question);
        }
        Ok(answered)
    }

    /// Returns which of these the hub does not have.
    pub fn missing(&self, digests: &[String]) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        for some in digests.chunks(ASKED_AT_ONCE) {
            let make = |id| ToHub::Missing { id, digests: some.to_vec() };
            if let (FromHub::Missing { digests, .. }, _) = self.ask(make, Content::Bytes(Vec::new()), None)? {
                missing.extend(digests);
            }
        }
        Ok(missing)
    }

    /// Returns an object; its digest is checked.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let make = |id| ToHub::Get { id, digest: digest.to_owned(), url: false, again: String::new() };
        match self.ask(make, Content::Bytes(Vec::new()), None)? {
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

    /// Fetches an object into a folder; its digest is checked.
    pub fn fetch(&self, digest: &str, into: &Arc<FileObjects>) -> Result<(), StoreError> {
        let mut tries = Tries::default();
        loop {
            let again = tries.trouble.clone();
            let make = |id| ToHub::Get { id, digest: digest.to_owned(), url: true, again };
            let to = (into.clone(), digest.to_owned());
            match self.ask(make, Content::Bytes(Vec::new()), Some(to))? {
                (FromHub::Object { found: true, .. }, content) if content.is_empty() && into.has(digest) => {
                    return Ok(());
                }
                // It could not be written as it came.
                (FromHub::Object { found: true, .. }, content) if into.put(&content)? == digest => {
                    return Ok(());
                }
                (FromHub::Object { found: true, .. }, _) => {
                    return Err(StoreError::Damaged(digest.to_owned()));
                }
                (FromHub::Signed { url, headers, .. }, _) => {
                    match self.transfers()?.get(&url, &headers, into, digest) {
                        Ok(()) => return Ok(()),
                        Err(trouble) => tries.again(trouble)?,
                    }
                }
                _ => return Err(StoreError::Missing(digest.to_owned())),
            }
        }
    }

    /// Gives the hub an object.
    pub fn put(&self, digest: &str, content: Vec<u8>) -> Result<(), StoreError> {
        fits(content.len() as u64)?;
        self.give(digest, Content::Bytes(content))
    }

    /// Gives the hub an object of a folder.
    pub fn send(&self, digest: &str, from: &FileObjects) -> Result<(), StoreError> {
        let (file, size) = from.open_object(digest)?;
        fits(size)?;
        let file = Arc::new(file);
        if size <= SMALL || !self.store.load(Ordering::Acquire) {
            return self.give(digest, Content::File(file, size));
        }
        let mut tries = Tries::default();
        loop {
            let again = tries.trouble.clone();
            let make = |id| ToHub::Sign { id, digest: digest.to_owned(), size, again };
            let (url, headers) = match self.ask(make, Content::Bytes(Vec::new()), None)? {
                (FromHub::Signed { url, headers, .. }, _) => (url, headers),
                (FromHub::Stored { error: None, .. }, _) => return Ok(()),
                // A hub that was replaced by one without a store.
                _ if !self.store.load(Ordering::Acquire) => {
                    return self.give(digest, Content::File(file, size));
                }
                (FromHub::Stored { error: Some(error), full, .. }, _) => return Err(not_kept(error, full)),
                _ => return Err(StoreError::Missing(digest.to_owned())),
            };
            let put = self.transfers()?.put(&url, &headers, &file, size);
            let looked_at = put.and_then(|()| {
                let make = |id| ToHub::Given { id, digest: digest.to_owned() };
                match self.ask(make, Content::Bytes(Vec::new()), None) {
                    Ok((FromHub::Stored { error: None, .. }, _)) => Ok(()),
                    Ok((FromHub::Stored { error: Some(error), full: true, .. }, _)) => {
                        Err(Trouble::Here(not_kept(error, true)))
                    }
                    Ok((FromHub::Stored { error: Some(error), .. }, _)) => Err(Trouble::Damaged(error)),
                    Ok(_) => Err(Trouble::Damaged("the hub answers something else".to_owned())),
                    Err(error) => Err(Trouble::Here(error)),
                }
            });
            match looked_at {
                Ok(()) => return Ok(()),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    fn transfers(&self) -> Result<&Transfers, StoreError> {
        if let Some(made) = self.transfers.get() {
            return Ok(made);
        }
        let made = Transfers::new().map_err(|source| StoreError::Io {
            doing: "starting",
            path: "transfers".to_owned(),
            source,
        })?;
        Ok(self.transfers.get_or_init(|| made))
    }

    fn give(&self, digest: &str, content: Content) -> Result<(), StoreError> {
        match self.ask(|id| ToHub::Put { id, digest: digest.to_owned() }, content, None)? {
            (FromHub::Stored { error: None, .. }, _) => Ok(()),
            (FromHub::Stored { error: Some(error), full, .. }, _) => Err(not_kept(error, full)),
            _ => Err(StoreError::Missing(digest.to_owned())),
        }
    }
}

fn not_kept(error: String, full: bool) -> StoreError {
    if full {
        let more = "`kubernetes: hub: { volume: … }` or `store: s3://…` in .ml/config.yaml gives it more";
        return StoreError::Full(format!("the hub ({more})"));
    }
    let source = io::Error::other(error);
    StoreError::Io { doing: "keeping an object in", path: "the hub".to_owned(), source }
}

pub(super) fn gone(reason: &str) -> StoreError {
    StoreError::Io {
        doing: "asking",
        path: "the hub".to_owned(),
        source: io::Error::other(reason.to_owned()),
    }
}

/// An object is taken up to a size: a chunk of a file always fits.
fn fits(size: u64) -> Result<(), StoreError> {
    if size <= OBJECT_LIMIT {
        return Ok(());
    }
    let reason =
        format!("{size} bytes; the hub takes {OBJECT_LIMIT}: too many files for one artifact or tree");
    Err(StoreError::Path { path: "the list of files".to_owned(), reason })
}
