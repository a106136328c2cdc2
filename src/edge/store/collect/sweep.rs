//! Removing: objects, logs and checkpoints that are old and not needed.

use super::collection::{Amount, Collect};
use crate::store::claim::lock_file;
use crate::store::{FileObjects, Store, StoreError, io};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Objects that are removed under one lock: nobody waits longer than for these.
const BATCH: usize = 64;

/// What a look at objects found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By digest: what nobody needs and is old.
    pub(super) going: BTreeMap<String, PathBuf>,
    pub(super) kept: Amount,
    /// Of these, what nobody needs.
    pub(super) young: Amount,
}

impl FileObjects {
    /// Finds the objects that nobody needs and that are older than `before`; counts the others.
    pub(super) fn candidates(
        &self,
        is_needed: &dyn Fn(&str) -> bool,
        before: SystemTime,
    ) -> Result<Found, StoreError> {
        let mut found = Found::default();
        for (shard, path) in listed(self.folder())?.into_iter().filter(|(name, _)| name.len() == 2) {
            for (name, path) in listed(&path)? {
                let Ok(meta) = path.symlink_metadata() else { continue };
                let digest = format!("{shard}{name}");
                let marked = is_needed(&digest);
                if !marked && meta.is_file() && is_before(&meta, before) {
                    found.going.insert(digest, path);
                } else {
                    found.kept.add(meta.len());
                    if !marked {
                        found.young.add(meta.len());
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes files that are still old, and what writers that died left unfinished.
    pub(super) fn sweep(
        &self,
        going: impl Iterator<Item = PathBuf>,
        before: SystemTime,
        wanted: &Collect,
    ) -> Result<Amount, StoreError> {
        let objects = self.folder();
        let unfinished = listed(&objects.join("new"))?.into_iter().map(|(_, path)| path);
        let all: Vec<PathBuf> = going.chain(unfinished).collect();
        let mut gone = Amount::default();
        for batch in all.chunks(BATCH) {
            let _lock = if wanted.dry_run { None } else { Some(exclusive(objects)?) };
            for path in batch {
                // Somebody may have found it and made it young since it was looked at.
                let Ok(meta) = path.symlink_metadata() else { continue };
                if !is_before(&meta, before) {
                    continue;
                }
                if !wanted.dry_run {
                    wanted.strike.now();
                    match fs::remove_file(path) {
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        done => done.map_err(|error| io("removing", path, error))?,
                    }
                }
                gone.add(meta.len());
            }
        }
        Ok(gone)
    }

    /// Removes objects that are not needed, and what writers that died left unfinished, if it was written or found last
    /// before `before`. Others may use them meanwhile: who finds one makes it young. Returns what went, and what stays.
    pub fn collect(
        &self,
        is_needed: &dyn Fn(&str) -> bool,
        before: SystemTime,
        dry_run: bool,
    ) -> Result<(Amount, Amount), StoreError> {
        let found = self.candidates(is_needed, before)?;
        let wanted = Collect { dry_run, ..Collect::default() };
        Ok((self.sweep(found.going.into_values(), before, &wanted)?, found.kept))
    }
}

/// Removes folders of the store.
pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) before: SystemTime,
    pub(super) wanted: &'a Collect,
}

impl Sweep<'_> {
    /// Removes the old ones that are not needed, by name.
    pub(super) fn folders(&self, kind: &str, needed: &dyn Fn(&str) -> bool) -> Result<Amount, StoreError> {
        let mut gone = Amount::default();
        for (name, path) in listed(&self.store.dir.join(kind))? {
            if needed(&name) || path.is_symlink() || !path.is_dir() {
                continue;
            }
            let Some((bytes, newest)) = measure(&path) else { continue };
            if newest >= self.before {
                continue;
            }
            if !self.wanted.dry_run && !self.remove(&name, &path)? {
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
            self.wanted.strike.now();
            fs::rename(path, &aside).map_err(|e| io("removing", path, e))?;
        }
        self.wanted.strike.now();
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
