//! Collection: what no kept run needs and is older than the grace age is removed. Marks come from
//! the log; the log itself stays.
//!
//! Not here: what an event refers to (`flow::run`), how users of the store are kept safe (`claim`).

use super::claim::lock_file;
use super::{GRACE, Manifest, RunLog as _, RunRow, Store, StoreError, io};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_flow::job::Receipt;
use tidegate_flow::run::{EventKind, RunEvent, pins, references};

/// Objects that are removed under one lock: nobody waits longer than for these.
const BATCH: usize = 64;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Collect {
    /// Runs that ended longer ago than this need nothing any more.
    pub keep: Duration,
    /// Digests of manifests that are needed although no run says so.
    pub also: Vec<String>,
    /// Only tell what would go.
    pub dry_run: bool,
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
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
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

/// What is needed.
#[derive(Debug, Default)]
struct Needed {
    /// Whose logs stay, by ULID.
    runs: BTreeSet<String>,
    manifests: BTreeSet<String>,
    objects: HashSet<String>,
    /// The runs whose checkpoints stay: the first of each line of reruns.
    origins: BTreeSet<String>,
}

impl Needed {
    /// Takes in a log; returns the runs that it took something from.
    fn take(&mut self, events: &[RunEvent]) -> BTreeSet<String> {
        let mut from = BTreeSet::new();
        for event in events {
            let found = references(event);
            self.manifests.extend(found.manifests.into_iter().map(str::to_owned));
            self.objects.extend(found.objects.into_iter().map(str::to_owned));
            from.extend(found.runs.into_iter().map(str::to_owned));
        }
        from
    }
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
        let old = |row: &RunRow| {
            let ended = row.summary.as_ref().map(|summary| {
                let took = i64::try_from(summary.duration_ms).unwrap_or(i64::MAX);
                UNIX_EPOCH
                    + Duration::from_millis(u64::try_from(row.created.saturating_add(took)).unwrap_or(0))
            });
            ended.is_some_and(|ended| now.duration_since(ended).is_ok_and(|age| age >= wanted.keep))
        };
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
        let going = self.candidates(&needed, before, &mut done)?;
        done.cache = self.drop_cached(&needed, &going, wanted.dry_run)?;
        if !wanted.dry_run && !going.is_empty() {
            // It says which files need not be read again; they are, once.
            let _ = fs::remove_file(self.dir.join("tree.json"));
        }
        done.objects = self.sweep(going.into_values(), before, wanted.dry_run)?;
        let folders = Sweep { store: self, before, dry_run: wanted.dry_run };
        done.logs = folders.folders("runs", &|name| needed.runs.contains(name))?;
        // A checkpoint's name opens with the run that it was made for first.
        let first = |name: &str| name.split('-').next().is_some_and(|run| needed.origins.contains(run));
        done.checkpoints = folders.folders("checkpoints", &first)?;
        Ok(done)
    }

    /// Marks what the logs of the kept runs refer to, and of the runs that those took something from.
    fn needed(&self, rows: &[RunRow], old: &dyn Fn(&RunRow) -> bool) -> Result<Needed, StoreError> {
        let mut needed = Needed::default();
        let mut from = BTreeSet::new();
        let mut newest: BTreeMap<&str, &RunRow> = BTreeMap::new();
        for row in rows {
            newest.entry(&row.workflow).or_insert(row);
            if !old(row) {
                from.append(&mut needed.take(&self.events(&row.run, 0)?));
                needed.runs.insert(row.run.clone());
            }
        }
        for row in rows {
            if !needed.runs.contains(&row.run)
                && (from.contains(&row.run) || from.contains(&row.number.to_string()))
            {
                needed.take(&self.events(&row.run, 0)?);
                needed.runs.insert(row.run.clone());
            }
        }
        for run in &needed.runs {
            needed.origins.insert(self.origin(run)?);
        }
        // The next run of a workflow compares its data with the listing that the last one pinned.
        for row in newest.values().filter(|row| !needed.runs.contains(&row.run)) {
            if let Some(EventKind::RunCreated(created)) = self.events(&row.run, 0)?.first().map(|e| &e.kind) {
                needed.objects.extend(pins(created.contexts.get("data")).map(str::to_owned));
            }
        }
        Ok(needed)
    }

    /// The first run of a line of reruns.
    fn origin(&self, run: &str) -> Result<String, StoreError> {
        let mut origin = run.to_owned();
        loop {
            let log = self.events(&origin, 0)?;
            let Some(EventKind::RunCreated(created)) = log.into_iter().next().map(|event| event.kind) else {
                return Ok(origin);
            };
            match created.rerun_of {
                Some(before) if before != origin => origin = before,
                _ => return Ok(origin),
            }
        }
    }

    /// Marks what the marked manifests list. One that is gone or damaged lists nothing.
    fn mark_content(&self, needed: &mut Needed) -> Result<(), StoreError> {
        for digest in &needed.manifests {
            let manifest = match self.file_objects().manifest(digest) {
                Ok(manifest) => manifest,
                Err(StoreError::Missing(_) | StoreError::Damaged(_)) => Manifest::default(),
                Err(other) => return Err(other),
            };
            needed.objects.insert(digest.clone());
            for entry in manifest.entries {
                needed.objects.extend(entry.kind.objects().iter().cloned());
            }
        }
        Ok(())
    }

    /// Finds the objects that nobody needs and that are old, by digest; counts the others.
    fn candidates(
        &self,
        needed: &Needed,
        before: SystemTime,
        done: &mut Collected,
    ) -> Result<BTreeMap<String, PathBuf>, StoreError> {
        let mut going = BTreeMap::new();
        let folder = self.dir.join("objects");
        for (shard, path) in listed(&folder)?.into_iter().filter(|(name, _)| name.len() == 2) {
            for (name, path) in listed(&path)? {
                let Ok(meta) = path.symlink_metadata() else { continue };
                let digest = format!("{shard}{name}");
                let marked = needed.objects.contains(&digest);
                if !marked && meta.is_file() && is_before(&meta, before) {
                    going.insert(digest, path);
                } else {
                    done.kept.add(meta.len());
                    if !marked {
                        done.young.add(meta.len());
                    }
                }
            }
        }
        Ok(going)
    }

    /// Drops the cache entries that point at something that goes or is gone, before it goes.
    fn drop_cached(
        &mut self,
        needed: &Needed,
        going: &BTreeMap<String, PathBuf>,
        dry_run: bool,
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
        if !dry_run && !dropped.is_empty() {
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

    /// Removes files that are still old, and what writers that died left unfinished.
    fn sweep(
        &self,
        going: impl Iterator<Item = PathBuf>,
        before: SystemTime,
        dry_run: bool,
    ) -> Result<Amount, StoreError> {
        let objects = self.dir.join("objects");
        let unfinished = listed(&objects.join("new"))?.into_iter().map(|(_, path)| path);
        let all: Vec<PathBuf> = going.chain(unfinished).collect();
        let mut gone = Amount::default();
        for batch in all.chunks(BATCH) {
            let _lock = if dry_run { None } else { Some(exclusive(&objects)?) };
            for path in batch {
                // Somebody may have found it and made it young since it was looked at.
                let Ok(meta) = path.symlink_metadata() else { continue };
                if !is_before(&meta, before) {
                    continue;
                }
                if !dry_run && let Err(error) = fs::remove_file(path) {
                    if error.kind() == ErrorKind::NotFound {
                        continue;
                    }
                    return Err(io("removing", path, error));
                }
                gone.add(meta.len());
            }
        }
        Ok(gone)
    }
}

/// Removes folders of the store.
struct Sweep<'a> {
    store: &'a Store,
    before: SystemTime,
    dry_run: bool,
}

impl Sweep<'_> {
    /// Removes the old ones that are not needed, by name.
    fn folders(&self, kind: &str, needed: &dyn Fn(&str) -> bool) -> Result<Amount, StoreError> {
        let mut gone = Amount::default();
        for (name, path) in listed(&self.store.dir.join(kind))? {
            if needed(&name) || path.is_symlink() || !path.is_dir() {
                continue;
            }
            let Some((bytes, newest)) = measure(&path) else { continue };
            if newest >= self.before {
                continue;
            }
            if !self.dry_run && !self.remove(&name, &path)? {
                continue;
            }
            gone.add(bytes);
        }
        Ok(gone)
    }

    /// Moves a folder away while nobody can take it into use, then removes it; one that is left half
    /// removed is among the temporary files of a dead process, which the next engine clears.
    fn remove(&self, name: &str, path: &Path) -> Result<bool, StoreError> {
        let temp = self.store.dir.join("tmp");
        fs::create_dir_all(&temp).map_err(|e| io("making", &temp, e))?;
        let aside = temp.join(format!("{}-gc-{name}", std::process::id()));
        {
            let _lock = exclusive(&self.store.dir.join("objects"))?;
            if !path.symlink_metadata().is_ok_and(|meta| is_before(&meta, self.before)) {
                return Ok(false);
            }
            fs::rename(path, &aside).map_err(|e| io("removing", path, e))?;
        }
        fs::remove_dir_all(&aside).map_err(|e| io("removing", &aside, e))?;
        Ok(true)
    }
}

/// Bytes below a folder, and when anything in it changed last; `None` if it cannot be read.
fn measure(folder: &Path) -> Option<(u64, SystemTime)> {
    let mut newest = folder.symlink_metadata().ok()?.modified().ok()?;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok()?;
        let (size, time) =
            if meta.is_dir() { measure(&entry.path())? } else { (meta.len(), meta.modified().ok()?) };
        bytes += size;
        newest = newest.max(time);
    }
    Some((bytes, newest))
}

fn is_before(meta: &Metadata, before: SystemTime) -> bool {
    meta.modified().is_ok_and(|time| time < before)
}

fn exclusive(objects: &Path) -> Result<File, StoreError> {
    let lock = lock_file(objects).and_then(|lock| lock.lock().map(|()| lock));
    lock.map_err(|e| io("locking", objects, e))
}

/// Names and paths in a folder, sorted; one that is not there has none.
fn listed(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("reading", folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io("reading", folder, e))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::job::ArtifactRef;

    const OLD: Duration = Duration::from_hours(48);

    fn make_old(store: &Store, artifact: &ArtifactRef) {
        let objects = store.file_objects();
        let Ok(manifest) = objects.manifest(&artifact.digest) else { return };
        let parts = manifest.entries.iter().flat_map(|entry| entry.kind.objects());
        for digest in parts.chain([&artifact.digest]) {
            let place = store.dir().join("objects").join(&digest[..2]).join(&digest[2..]);
            let _ = File::open(place).and_then(|file| file.set_modified(SystemTime::now() - OLD));
        }
    }

    fn store_and_folder() -> (tempfile::TempDir, Store, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(&from).unwrap();
        for name in 0..20 {
            fs::write(from.join(name.to_string()), format!("content {name}")).unwrap();
        }
        let store = Store::open(&folder.path().join("store")).unwrap();
        (folder, store, from)
    }

    #[test]
    fn what_is_old_and_unneeded_goes_unless_it_is_claimed_or_found() {
        let (_folder, mut store, from) = store_and_folder();
        let artifact = store.objects().put_path(&from).unwrap();
        let count = |store: &mut Store, also: &[String]| {
            let wanted = Collect { also: also.to_vec(), ..Collect::default() };
            store.collect(&wanted).unwrap().objects.count
        };
        assert_eq!(count(&mut store, &[]), 0, "young");
        make_old(&store, &artifact);
        assert_eq!(count(&mut store, std::slice::from_ref(&artifact.digest)), 0, "needed");
        assert!(store.objects().claim(&artifact).unwrap());
        assert_eq!(count(&mut store, &[]), 0, "claimed");
        make_old(&store, &artifact);
        assert_eq!(store.objects().put_path(&from).unwrap(), artifact);
        assert_eq!(count(&mut store, &[]), 0, "found");
        make_old(&store, &artifact);
        assert_eq!(count(&mut store, &[]), 21, "20 files and their list");
        assert!(!store.objects().claim(&artifact).unwrap(), "gone");
    }

    /// Whoever claimed or put something has it, however the collector's steps fall between.
    #[test]
    fn a_collector_beside_a_user_takes_nothing_that_is_in_use() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (folder, store, from) = store_and_folder();
        let artifact = store.objects().put_path(&from).unwrap();
        let over = AtomicBool::new(false);
        /// Ends the collector also when the user panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let (mut claimed, mut put, mut gone) = (0_u64, 0_u64, 0_u64);
        let dir = store.dir().to_owned();
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let mut other = Store::open(&dir).unwrap();
                let mut gone = 0;
                while !over.load(Ordering::Relaxed) {
                    gone += other.collect(&Collect::default()).unwrap().objects.count;
                }
                gone
            });
            let user = Over(&over);
            let end = std::time::Instant::now() + Duration::from_mins(3);
            // Until all ways were gone often, on a slow machine, too.
            while (claimed < 60 || put < 60) && std::time::Instant::now() < end {
                make_old(&store, &artifact);
                if claimed < put || (claimed + put) % 2 == 0 {
                    if store.objects().claim(&artifact).unwrap() {
                        claimed += 1;
                    } else {
                        store.objects().put_path(&from).unwrap();
                        put += 1;
                    }
                } else {
                    store.objects().put_path(&from).unwrap();
                    put += 1;
                }
                let to = folder.path().join("to");
                store.objects().fetch(&artifact, &to).unwrap();
                fs::remove_dir_all(to).unwrap();
            }
            drop(user);
            gone = collector.join().unwrap();
        });
        assert!(claimed >= 60 && put >= 60 && gone > 0, "{claimed} claimed, {put} put, {gone} gone");
    }
}
