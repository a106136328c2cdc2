//! Whole artifacts on their way to a hub and from it: what is there is not sent again.

use super::objects::{HubObjects, gone};
use crate::store::{FileObjects, StoreError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::ArtifactRef;

/// Objects on their way at once.
const AT_ONCE: usize = 4;
/// What was found whole so lately is not looked through again: only its list is asked for.
const FRESH: Duration = Duration::from_mins(10);
/// What went while it was given is given again so often.
const TRIES: usize = 3;

impl HubObjects {
    /// Gives the hub everything of an artifact that it does not have.
    pub fn push(&self, artifact: &ArtifactRef, from: &FileObjects) -> Result<(), StoreError> {
        let list = std::slice::from_ref(&artifact.digest);
        // A hub that has the list has had all of it: the list is given last. It may have lost some since, so this is
        // believed once this process has looked.
        let looked = self.waiting().whole.get(&artifact.digest).is_some_and(|at| at.elapsed() < FRESH);
        if looked && self.missing(list)?.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            if self.is_whole(artifact, from)? {
                self.waiting().whole.insert(artifact.digest.clone(), Instant::now());
                return Ok(());
            }
            let missing = self.missing(&digests_of(artifact, from)?)?;
            in_parallel(&missing, |digest| self.send(digest, from))?;
            if !self.missing(list)?.is_empty() {
                self.send(&artifact.digest, from)?;
            }
            // What an attempt gives is its own as long as that is open.
            if !self.does_collect()? {
                self.waiting().whole.insert(artifact.digest.clone(), Instant::now());
                return Ok(());
            }
        }
        Err(gone("what was given goes again"))
    }

    /// Tells whether the hub has all of an artifact, and relies on it.
    fn is_whole(&self, artifact: &ArtifactRef, from: &FileObjects) -> Result<bool, StoreError> {
        let list = std::slice::from_ref(&artifact.digest);
        if self.does_collect()? {
            return Ok(self.claim(list)?.is_empty());
        }
        if !self.missing(list)?.is_empty() {
            return Ok(false);
        }
        // What a pod made is at the hub alone: there is nothing here to give.
        Ok(!from.has(&artifact.digest) || self.missing(&digests_of(artifact, from)?)?.is_empty())
    }

    /// Fetches everything of an artifact that is not yet in `into`.
    pub fn pull(&self, artifact: &ArtifactRef, into: &Arc<FileObjects>) -> Result<(), StoreError> {
        if self.does_collect()? {
            self.claim(std::slice::from_ref(&artifact.digest))?;
        }
        if !into.keeps(&artifact.digest) {
            self.fetch(&artifact.digest, into)?;
        }
        let wanted: Vec<String> =
            digests_of(artifact, into)?.into_iter().filter(|d| !into.keeps(d)).collect();
        in_parallel(&wanted, |digest| self.fetch(digest, into))
    }
}

/// Returns the digests of an artifact's content, without its list.
pub fn digests_of(artifact: &ArtifactRef, objects: &FileObjects) -> Result<Vec<String>, StoreError> {
    let entries = objects.manifest(&artifact.digest)?.entries;
    let digests: BTreeSet<&String> = entries.iter().flat_map(|entry| entry.kind.objects()).collect();
    Ok(digests.into_iter().cloned().collect())
}

/// Does something for each, a few at once; stops at the first error.
pub(super) fn in_parallel(
    digests: &[String],
    each: impl Fn(&str) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(digests.len()) {
            scope.spawn(|| {
                while let Some(digest) = digests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = each(digest) {
                        next.store(digests.len(), Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
