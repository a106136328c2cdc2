//! A collection from its marks to its end.

use super::mark::Needed;
use super::sweep::{Found, Sweep};
use crate::store::{GRACE, RunLog as _, RunRow, Store, StoreError};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_flow::job::Receipt;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Collect {
    /// Runs that ended longer ago than this need nothing any more.
    pub keep: Duration,
    /// Digests of manifests that are needed although no run says so.
    pub also: Vec<String>,
    /// Only tell what would go.
    pub dry_run: bool,
    /// What strikes between two changes.
    pub strike: Strike,
}

/// Called before each change of the store with the count of those before it: tests end a collection
/// there.
#[derive(Clone, Default)]
pub struct Strike(Option<(Blow, Arc<AtomicU64>)>);

type Blow = Arc<dyn Fn(u64) + Send + Sync>;

impl Strike {
    /// Makes one that calls `strike`.
    pub fn new(strike: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some((Arc::new(strike), Arc::default())))
    }

    /// A change follows.
    pub(super) fn now(&self) {
        if let Some((strike, count)) = &self.0 {
            strike(count.fetch_add(1, Ordering::SeqCst));
        }
    }
}

impl std::fmt::Debug for Strike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Strike" } else { "no Strike" })
    }
}

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files or folders.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What kept runs need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLists {
    /// Digests of manifests.
    pub lists: BTreeSet<String>,
    /// The first runs of their lines of reruns: names of checkpoints open with these.
    pub origins: BTreeSet<String>,
}

fn is_old(row: &RunRow, now: SystemTime, keep: Duration) -> bool {
    let ended = row.summary.as_ref().map(|summary| {
        let took = i64::try_from(summary.duration_ms).unwrap_or(i64::MAX);
        UNIX_EPOCH + Duration::from_millis(u64::try_from(row.created.saturating_add(took)).unwrap_or(0))
    });
    ended.is_some_and(|ended| now.duration_since(ended).is_ok_and(|age| age >= keep))
}

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Runs whose objects and logs stay: they are young, have not ended, or young ones took something from them.
    pub runs_kept: u64,
    /// Of these, the runs that have not ended and have no engine: `run --resume` needs what they left.
    pub interrupted: u64,
    /// Runs that ended too long ago.
    pub runs_old: u64,
    /// Objects that stay.
    pub kept: Amount,
    /// Of these, what nobody needs and is too young to go.
    pub young: Amount,
    /// Objects that went, unfinished ones among them.
    pub objects: Amount,
    /// Logs of runs that went.
    pub logs: Amount,
    /// Checkpoints that went.
    pub checkpoints: Amount,
    /// Cache entries that went.
    pub cache: u64,
}

impl Store {
    /// Removes what nobody needs. Engines may go on meanwhile; killed at any moment, it leaves a store
    /// that is whole.
    ///
    /// # Errors
    /// A log that cannot be read: then nothing was removed, because nobody knows what it needs.
    pub fn collect(&mut self, wanted: &Collect) -> Result<Collected, StoreError> {
        // Before the log is read: what is written from now on is younger than any age below.
        let now = SystemTime::now();
        let rows = self.list(usize::MAX >> 1)?;
        let old = |row: &RunRow| is_old(row, now, wanted.keep);
        // What a living run wrote since its start may be in its log only at the end of a job.
        let alive = rows.iter().filter(|row| row.owner.is_some() && row.summary.is_none());
        let oldest =
            alive.map(|row| UNIX_EPOCH + Duration::from_millis(row.created.max(0).unsigned_abs())).min();
        let before = oldest.map_or(now, |oldest| oldest.min(now)) - GRACE;
        let mut needed = self.needed(&rows, &old)?;
        needed.manifests.extend(wanted.also.iter().cloned());
        self.mark_content(&mut needed)?;
        let mut done = Collected { runs_kept: needed.runs.len() as u64, ..Collected::default() };
        done.runs_old = (rows.len() as u64).saturating_sub(done.runs_kept);
        done.interrupted =
            rows.iter().filter(|row| row.summary.is_none() && row.owner.is_none()).count() as u64;
        let objects = self.file_objects();
        let Found { going, kept, young } =
            objects.candidates(&|digest| needed.objects.contains(digest), before)?;
        (done.kept, done.young) = (kept, young);
        done.cache = self.drop_cached(&needed, &going, wanted)?;
        if !wanted.dry_run && !going.is_empty() {
            // It says which files need not be read again; they are, once.
            wanted.strike.now();
            let _ = std::fs::remove_file(self.dir.join("tree.json"));
        }
        done.objects = objects.sweep(going.into_values(), before, wanted)?;
        let folders = Sweep { store: self, before, wanted };
        done.logs = folders.folders("runs", &|name| needed.runs.contains(name))?;
        // A checkpoint's name opens with the run that it was made for first.
        let first = |name: &str| name.split('-').next().is_some_and(|run| needed.origins.contains(run));
        done.checkpoints = folders.folders("checkpoints", &first)?;
        Ok(done)
    }

    /// Returns the lists that runs need which ended less than `keep` ago, or have not ended, and which lines of reruns
    /// these are of. What is not here may be elsewhere.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn kept(&self, keep: Duration) -> Result<KeptLists, StoreError> {
        let now = SystemTime::now();
        let rows = self.list(usize::MAX >> 1)?;
        let needed = self.needed(&rows, &|row| is_old(row, now, keep))?;
        Ok(KeptLists { lists: needed.manifests, origins: needed.origins })
    }

    /// Drops the cache entries that point at something that goes or is gone, before it goes.
    fn drop_cached(
        &mut self,
        needed: &Needed,
        going: &BTreeMap<String, PathBuf>,
        wanted: &Collect,
    ) -> Result<u64, StoreError> {
        let wrong = |error| self.wrong(error);
        let mut ask = self.db.prepare("SELECT key, number, receipt FROM cache").map_err(wrong)?;
        let mut rows = ask.query([]).map_err(wrong)?;
        let mut dropped: Vec<(String, i64)> = Vec::new();
        while let Some(row) = rows.next().map_err(wrong)? {
            let (key, number, text): (String, i64, String) =
                row.get(0).and_then(|key| Ok((key, row.get(1)?, row.get(2)?))).map_err(wrong)?;
            // One that cannot be read is no hit either.
            let Ok(receipt) = serde_json::from_str::<Receipt>(&text) else { continue };
            let objects = self.file_objects();
            let stays = |digest: &String| needed.objects.contains(digest) || !going.contains_key(digest);
            let whole = receipt.artifacts.values().chain(receipt.uploads.values()).all(|artifact| {
                // What pods made is with the cluster's hub, which is asked when the entry is used.
                if !objects.has(&artifact.digest) && needed.manifests.contains(&artifact.digest) {
                    return true;
                }
                stays(&artifact.digest)
                    && objects.manifest(&artifact.digest).is_ok_and(|manifest| {
                        let mut parts = manifest.entries.iter().flat_map(|entry| entry.kind.objects());
                        parts.all(|part| stays(part) && objects.has(part))
                    })
            });
            if !whole {
                dropped.push((key, number));
            }
        }
        drop(rows);
        drop(ask);
        if !wanted.dry_run && !dropped.is_empty() {
            wanted.strike.now();
            self.within(|change| {
                // An entry that was made meanwhile is another run's.
                let mut remove = change.prepare("DELETE FROM cache WHERE key = ?1 AND number = ?2")?;
                for (key, number) in &dropped {
                    remove.execute(params![key, number])?;
                }
                Ok(())
            })?;
        }
        Ok(dropped.len() as u64)
    }
}
