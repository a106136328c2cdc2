//! A log and objects that fail when told to, for tests of everything that stands on them.

use super::{CacheEntry, Line, Objects, OwnedRun, RunLog, RunRow, StoreError, Sync};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::queue::{Capacity, Request};
use tidegate_flow::run::{CacheKey, RunEvent};

/// Where the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was written; the store works on afterwards.
    Once,
    /// The process "dies" before the write: this and every later write fails.
    Before,
    /// The process "dies" after the write: it is there, nobody heard of it, every later one fails.
    After,
}

/// Counts writes and strikes at the one it was told.
#[derive(Debug)]
struct Fuse {
    at: u64,
    moment: Moment,
    done: AtomicU64,
}

impl Fuse {
    /// Runs a write, or what becomes of it.
    fn pass<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let nth = self.done.fetch_add(1, Ordering::SeqCst);
        let dead = self.moment != Moment::Once && nth > self.at;
        if nth == self.at && self.moment == Moment::After {
            write()?;
        } else if nth != self.at && !dead {
            return write();
        }
        Err(StoreError::Io {
            doing: "writing to",
            path: "a store that was told to fail".to_owned(),
            source: std::io::Error::other("injected fault"),
        })
    }
}

/// Hears of an append that is there.
pub type Witness = Box<dyn FnMut(&[RunEvent], Sync) + Send>;

/// Hears of a write just before and just after it is done; what it does meanwhile holds the writer up.
pub type Hook = Box<dyn FnMut(Moment, &[RunEvent]) + Send>;

/// A log whose `at`-th write (from 0; `create` and `append` count) fails.
pub struct FaultyLog<L> {
    inner: L,
    fuse: Fuse,
    witness: Option<Witness>,
    hook: Option<Hook>,
}

impl<L: RunLog> FaultyLog<L> {
    /// Wraps a log.
    pub fn new(inner: L, at: u64, moment: Moment) -> Self {
        Self { inner, fuse: Fuse { at, moment, done: AtomicU64::new(0) }, witness: None, hook: None }
    }

    /// Tells somebody of every append that is there.
    #[must_use]
    pub fn with_witness(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Wraps a log that works, and calls this around every write.
    #[must_use]
    pub fn hooked(inner: L, hook: Hook) -> Self {
        Self { hook: Some(hook), ..Self::new(inner, u64::MAX, Moment::Once) }
    }

    fn call(&mut self, moment: Moment, events: &[RunEvent]) {
        if let Some(hook) = &mut self.hook {
            hook(moment, events);
        }
    }

    /// Returns how many writes were tried.
    pub fn writes(&self) -> u64 {
        self.fuse.done.load(Ordering::SeqCst)
    }

    /// Returns the log behind it.
    pub fn into_inner(self) -> L {
        self.inner
    }
}

impl<L: RunLog> RunLog for FaultyLog<L> {
    fn create(&mut self, first: &RunEvent) -> Result<OwnedRun, StoreError> {
        self.call(Moment::Before, std::slice::from_ref(first));
        let owned = self.fuse.pass(|| self.inner.create(first))?;
        self.call(Moment::After, std::slice::from_ref(first));
        Ok(owned)
    }
    fn own(&mut self, run: &str) -> Result<OwnedRun, StoreError> {
        self.inner.own(run)
    }
    fn append(&mut self, run: &OwnedRun, events: &[RunEvent], sync: Sync) -> Result<(), StoreError> {
        self.call(Moment::Before, events);
        self.fuse.pass(|| self.inner.append(run, events, sync))?;
        self.call(Moment::After, events);
        if let Some(witness) = &mut self.witness {
            witness(events, sync);
        }
        Ok(())
    }
    fn events(&self, run: &str, from: u64) -> Result<Vec<RunEvent>, StoreError> {
        self.inner.events(run, from)
    }
    fn first_event(&self, run: &str) -> Result<RunEvent, StoreError> {
        self.inner.first_event(run)
    }
    fn list(&self, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.inner.list(limit)
    }
    fn last_good(
        &self,
        project: &str,
        workflow: &str,
        branch: &str,
        before: u64,
    ) -> Result<Option<RunRow>, StoreError> {
        self.inner.last_good(project, workflow, branch, before)
    }
    fn find(&self, name: &str) -> Result<Option<RunRow>, StoreError> {
        self.inner.find(name)
    }
    fn release(&mut self, run: &OwnedRun) -> Result<(), StoreError> {
        self.inner.release(run)
    }
    fn request(&mut self, run: &str, wish: &str, reason: &str) -> Result<(), StoreError> {
        self.inner.request(run, wish, reason)
    }
    fn wishes(&mut self, run: &OwnedRun) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.wishes(run)
    }
    fn stand(
        &mut self,
        machine: &Capacity,
        leave: &[String],
        join: &[(String, Request)],
    ) -> Result<Line, StoreError> {
        self.inner.stand(machine, leave, join)
    }
    fn changed(&mut self) -> Result<bool, StoreError> {
        self.inner.changed()
    }
    fn cached(&self, key: &str) -> Result<Option<CacheEntry>, StoreError> {
        self.inner.cached(key)
    }
    fn cached_many(&self, keys: &[String]) -> Result<Vec<Option<CacheEntry>>, StoreError> {
        self.inner.cached_many(keys)
    }
    fn keep(&mut self, key: &CacheKey, entry: &CacheEntry) -> Result<(), StoreError> {
        self.inner.keep(key, entry)
    }
}

/// Objects whose `at`-th write (from 0; `put` and `put_path` count) fails.
pub struct FaultyObjects {
    inner: Arc<dyn Objects>,
    fuse: Fuse,
}

impl FaultyObjects {
    /// Wraps objects.
    pub fn new(inner: Arc<dyn Objects>, at: u64, moment: Moment) -> Self {
        Self { inner, fuse: Fuse { at, moment, done: AtomicU64::new(0) } }
    }
}

impl Objects for FaultyObjects {
    fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        self.fuse.pass(|| self.inner.put(bytes))
    }
    fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.get(digest)
    }
    fn put_path(&self, path: &Path) -> Result<ArtifactRef, StoreError> {
        self.fuse.pass(|| self.inner.put_path(path))
    }
    fn claim(&self, artifact: &ArtifactRef) -> Result<bool, StoreError> {
        self.inner.claim(artifact)
    }
    fn fetch(&self, artifact: &ArtifactRef, to: &Path) -> Result<(), StoreError> {
        self.inner.fetch(artifact, to)
    }
}
