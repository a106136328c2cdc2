//! What a hub answers about objects: whether they are there, the objects themselves, signed URLs for them.

use super::access::digest_of;
use super::collection::Needs;
use super::outgoing::Frames;
use super::server::{Hub, Who};
use super::shelf::{Answered, locked};
use super::stream::WordReader;
use crate::store::{OBJECT_LIMIT, StoreError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::JobMessage;
use tidegate_flow::wire::v1::{FromHub, ToHub};
use tokio::io::AsyncRead;

/// Objects of an object store up to this size travel with the words: a URL would cost more.
pub(super) const SMALL: u64 = 1 << 20;
/// The first pause before a store is asked again; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Hub {
    /// Takes a question about objects; gives back what is none. Answers come when the store has answered:
    /// meanwhile other words are heard.
    pub(super) async fn question<R: AsyncRead + Unpin>(
        self: &Arc<Self>,
        who: &Who,
        word: ToHub,
        reader: &mut WordReader<R>,
        frames: &Frames,
    ) -> io::Result<Option<ToHub>> {
        let Some(word) = self.of_claims(who, word, frames) else { return Ok(None) };
        let put = match &word {
            ToHub::Put { digest, .. } => Some(self.take(digest, reader).await?),
            ToHub::Missing { .. } | ToHub::Get { .. } | ToHub::Sign { .. } | ToHub::Given { .. } => None,
            ToHub::Claim { .. } if matches!(who, Who::Engine { .. }) => None,
            _ => return Ok(Some(word)),
        };
        self.is_open(who, frames)?;
        let (hub, who, to) = (self.clone(), who.clone(), frames.clone());
        let answering = async move { hub.answer(&who, word, put, &to).await };
        if self.shelf.bucket.is_some() {
            // One client asks so much at once: questions are whole in memory.
            let Some(turn) = frames.turn().await else { return Err(io::ErrorKind::ConnectionAborted.into()) };
            tokio::spawn(async move {
                answering.await;
                drop(turn);
            });
        } else {
            answering.await;
        }
        Ok(None)
    }

    /// Reads an object into the folder.
    async fn take<R: AsyncRead + Unpin>(
        &self,
        digest: &str,
        reader: &mut WordReader<R>,
    ) -> io::Result<Result<(), StoreError>> {
        if digest_of(digest).is_none() {
            return Ok(Err(StoreError::Damaged(digest.to_owned())));
        }
        let mut incoming = match self.shelf.objects.begin() {
            Ok(incoming) => incoming,
            Err(error) => return Ok(Err(error)),
        };
        let kept = reader.object(&mut incoming).await?;
        Ok(kept.and_then(|()| self.shelf.take(incoming, digest)))
    }

    /// Takes a word about what a store relies on that is not answered at once; gives back what is none.
    fn of_claims(self: &Arc<Self>, who: &Who, word: ToHub, frames: &Frames) -> Option<ToHub> {
        let Who::Engine { store, .. } = who else { return Some(word) };
        match word {
            ToHub::Keeps { lists } => {
                lists
                    .iter()
                    .filter_map(|list| digest_of(list))
                    .for_each(|list| self.ledger.claim(store, list));
            }
            ToHub::Collect { id, keep, dry_run } => {
                let lists = keep.iter().filter_map(|list| digest_of(list)).collect();
                self.collect_for(id, Needs { store: store.clone(), lists }, dry_run, frames);
            }
            other => return Some(other),
        }
        None
    }

    async fn answer(&self, who: &Who, word: ToHub, put: Option<Result<(), StoreError>>, frames: &Frames) {
        match word {
            ToHub::Claim { id, lists } => {
                if let Some(digests) = self.claim(who, lists, frames).await {
                    frames.say(&FromHub::Missing { id, digests });
                }
            }
            ToHub::Missing { id, digests } => {
                if let Some(digests) = self.missing(who, digests, frames).await {
                    frames.say(&FromHub::Missing { id, digests });
                }
            }
            ToHub::Get { id, digest, url, again } => {
                self.client_trouble(again);
                let may = self.patiently(frames, || self.may_have(who, &digest)).await;
                match may {
                    Some(true) => self.give(id, digest, url, frames).await,
                    Some(false) => frames.say(&FromHub::Object { id, found: false }),
                    None => {}
                }
            }
            ToHub::Put { id, digest } => {
                let mut kept = put.unwrap_or(Ok(()));
                if kept.is_ok() {
                    match self.patiently(frames, || self.shelf.keep(&digest)).await {
                        Some(in_store) => kept = in_store,
                        None => return,
                    }
                }
                frames.say(&stored(id, kept.and_then(|()| self.has_shown(who, &digest))));
            }
            ToHub::Sign { id, digest, size, again } => {
                self.client_trouble(again);
                self.sign(who, id, &digest, size, frames).await;
            }
            ToHub::Given { id, digest } => self.given(who, id, &digest, frames).await,
            _ => {}
        }
    }

    /// A store relies on lists; returns those that are not there, or not whole.
    async fn claim(&self, who: &Who, lists: Vec<String>, frames: &Frames) -> Option<Vec<String>> {
        let Who::Engine { store, .. } = who else { return Some(lists) };
        let mut missing = Vec::new();
        for list in lists {
            let known = digest_of(&list);
            let whole = match &known {
                Some(known) => self.patiently(frames, || self.shelf.has_all(known)).await?,
                None => false,
            };
            match known.filter(|_| whole) {
                Some(known) => self.ledger.claim(store, known),
                None => missing.push(list),
            }
        }
        Some(missing)
    }

    async fn missing(&self, who: &Who, digests: Vec<String>, frames: &Frames) -> Option<Vec<String>> {
        let mut missing = Vec::new();
        for digest in digests {
            let there = || async { Ok(self.may_have(who, &digest).await? && self.shelf.has(&digest).await?) };
            if !self.patiently(frames, there).await? {
                missing.push(digest);
            }
        }
        Some(missing)
    }

    /// Gives an object, or a URL for it.
    async fn give(&self, id: u64, digest: String, url: bool, frames: &Frames) {
        let (Some(bucket), Some(known)) = (&self.shelf.bucket, digest_of(&digest)) else {
            return frames.object(id, digest);
        };
        let Some(size) = self.patiently(frames, || bucket.size(&known)).await else { return };
        match size {
            None => frames.say(&FromHub::Object { id, found: false }),
            Some(size) if url && size > SMALL => {
                if let Some(signed) = self.patiently(frames, || bucket.sign_get(&known)).await {
                    frames.say(&FromHub::Signed { id, url: signed.url, headers: signed.headers });
                }
            }
            Some(_) => {
                let Some(permit) = frames.hold().await else { return };
                if let Some(found) = self.patiently(frames, || bucket.read(&known)).await {
                    let word = FromHub::Object { id, found: found.is_some() };
                    frames.say_held(&word, &found.unwrap_or_default(), permit);
                }
            }
        }
    }

    /// Signs a URL that an object can be put at; one that the client has shown before is not sent again.
    async fn sign(&self, who: &Who, id: u64, digest: &str, size: u64, frames: &Frames) {
        let refuse =
            |error: &str| frames.say(&FromHub::Stored { id, error: Some(error.to_owned()), full: false });
        let (Some(bucket), Some(known)) = (&self.shelf.bucket, digest_of(digest)) else {
            return refuse("this hub has no object store");
        };
        if size > OBJECT_LIMIT {
            return refuse("an object has at most 64 MiB");
        }
        let there = || async { Ok(self.may_have(who, digest).await? && bucket.has(&known).await?) };
        match self.patiently(frames, there).await {
            Some(true) => frames.say(&stored(id, Ok(()))),
            Some(false) => {
                let signed = || bucket.sign_put(who.place(), &known);
                if let Some(signed) = self.patiently(frames, signed).await {
                    frames.say(&FromHub::Signed { id, url: signed.url, headers: signed.headers });
                }
            }
            None => {}
        }
    }

    /// A client says that an object is where it was to put it: this is looked at.
    async fn given(&self, who: &Who, id: u64, digest: &str, frames: &Frames) {
        let (Some(bucket), Some(known)) = (&self.shelf.bucket, digest_of(digest)) else {
            let error = Some("this hub has no object store".to_owned());
            return frames.say(&FromHub::Stored { id, error, full: false });
        };
        // Said again after a break: it is done.
        let done = || async {
            Ok(matches!(who, Who::Agent { access, .. } if locked(access).may_have(&known))
                && bucket.has(&known).await?)
        };
        let Some(done) = self.patiently(frames, done).await else { return };
        let mut kept = Ok(());
        if !done {
            match self.patiently(frames, || bucket.settle(who.place(), &known)).await {
                Some(settled) => kept = settled,
                None => return,
            }
        }
        frames.say(&stored(id, kept.and_then(|()| self.has_shown(who, digest))));
    }

    /// From now on the attempt may have it.
    fn has_shown(&self, who: &Who, digest: &str) -> Result<(), StoreError> {
        let (Who::Agent { attempt, access, .. }, Some(known)) = (who, digest_of(digest)) else {
            return Ok(());
        };
        let wrong = |source| crate::store::io("noting", Path::new("what an attempt put"), source);
        if let Some(attempt) = self.state().attempts.get_mut(attempt) {
            attempt.spool.put(&known).map_err(wrong)?;
        }
        locked(access).put(known);
        Ok(())
    }

    /// An engine may have everything: the hub's secret is the namespace's.
    async fn may_have(&self, who: &Who, digest: &str) -> Answered<bool> {
        match who {
            Who::Engine { .. } => Ok(true),
            Who::Agent { access, .. } => self.shelf.may_have(access, digest).await,
        }
    }

    /// Tells whether an attempt may say this: what it hands on to others has to be its own, or given to it.
    /// `None`: nobody waits for the answer any more.
    pub(super) async fn may_say(&self, who: &Who, message: &JobMessage, frames: &Frames) -> Option<bool> {
        let Who::Agent { access, .. } = who else { return Some(true) };
        for artifact in super::access::handed_on(message) {
            if !self.patiently(frames, || self.shelf.may_hand_on(access, artifact)).await? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Asks the store until it answers; `None`: the client is gone.
    async fn patiently<T, F>(&self, frames: &Frames, ask: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Answered<T>>,
    {
        let mut pause = PAUSE;
        loop {
            let answer = match self.at_store.acquire().await {
                Ok(_permit) => ask().await,
                Err(_) => return None,
            };
            match answer {
                Ok(answer) => {
                    if self.shelf.bucket.is_some() {
                        self.store_is(None);
                    }
                    return Some(answer);
                }
                Err(error) => self.store_is(Some(plain(&error.to_string()))),
            }
            if frames.is_closed() {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A client could not use a URL.
    fn client_trouble(&self, reason: String) {
        if !reason.is_empty() {
            self.store_is(Some(plain(&reason)));
        }
    }
}

/// The answer to one that gave an object.
fn stored(id: u64, kept: Result<(), StoreError>) -> FromHub {
    let error = kept.err();
    FromHub::Stored { id, full: matches!(error, Some(StoreError::Full(_))), error: error.as_ref().map(said) }
}

fn said(error: &StoreError) -> String {
    match error {
        StoreError::Damaged(_) => "its content has another digest".to_owned(),
        StoreError::Missing(_) => "it is not where it was to be put".to_owned(),
        other => other.to_string(),
    }
}

/// An error of a store in one line: what follows may hold what was signed.
pub(super) fn plain(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let line = line.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
    line.chars().take(300).collect()
}
