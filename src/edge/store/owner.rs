//! Whether the owner of something is alive: it holds a lock on a file of its own.
//!
//! Process ids alone say nothing, they are given again; the system drops a lock with its process.

use super::{StoreError, io};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells several stores of one process apart.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The locks of a store: one that is ours, made when first needed, and those of others.
#[derive(Debug)]
pub(super) struct Locks {
    folder: PathBuf,
    own: Option<(String, File)>,
}

impl Locks {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, own: None }
    }

    /// Stands in for locks that are looked at elsewhere just now.
    pub(super) fn none() -> Self {
        Self::new(PathBuf::new())
    }

    /// Returns the name of our lock, taken for as long as this store is open.
    pub(super) fn own(&mut self) -> Result<String, StoreError> {
        if let Some((name, _)) = &self.own {
            return Ok(name.clone());
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| io("making", &self.folder, error))?;
        loop {
            let nth = OPENED.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{nth}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond());
            let path = self.folder.join(&name);
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(|error| io("making", &path, error))?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)
                .map_err(|error| io("locking", &path, error.into()))?;
            // Somebody may have taken it for a dead one between its making and its lock.
            if path.exists() {
                self.own = Some((name.clone(), file));
                return Ok(name);
            }
        }
    }

    /// Whether the holder of a lock lives. The file of a dead one is removed.
    pub(super) fn alive(&self, name: &str) -> bool {
        if self.own.as_ref().is_some_and(|(own, _)| own == name) {
            return true;
        }
        // Names are ours, but the database may have been damaged.
        if name.is_empty() || name.contains('/') {
            return false;
        }
        held(&self.folder.join(name))
    }

    /// Whether it is this store's own lock.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.own.as_ref().is_some_and(|(own, _)| own == name)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        if let Some((name, _)) = &self.own {
            // Left behind, it costs nothing: nobody holds it.
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }
}

fn held(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).open(path) else { return false };
    match look(&file) {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            false
        }
        Err(error) => error == Errno::WOULDBLOCK,
    }
}

/// Looks with a lock that others who look may have, too: none of them is the holder.
fn look(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockShared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_who_look_at_once_see_no_holder_in_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead");
        let other = File::create(&path).unwrap();
        look(&other).unwrap();
        assert!(!held(&path));
        let mut locks = Locks::new(folder.path().to_owned());
        let name = locks.own().unwrap();
        assert!(Locks::new(folder.path().to_owned()).alive(&name), "who holds it is seen");
    }
}
