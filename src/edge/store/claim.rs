//! How those who use the store and those who collect it keep out of each other's way.
//!
//! What is younger than [`GRACE`] is never collected, so an engine has that long to log what it
//! wrote. Who finds an object instead of writing it makes it young again if it is older than
//! [`STALE`]; that and the removal of an object exclude each other by a lock.

use super::{StoreError, io};
use std::fs::{self, File, FileTimes, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Younger files are never collected, whoever needs them.
pub const GRACE: Duration = Duration::from_hours(1);

/// What is found and older than this is made young: whoever found it has the rest of [`GRACE`] to
/// log that it is needed.
pub const STALE: Duration = Duration::from_mins(30);

/// Tells whether a file was written or found lately. One from the future counts as old.
pub(super) fn young(meta: &Metadata) -> bool {
    meta.modified().is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < STALE))
}

/// Makes a file or folder young; tells whether it is there and could be made so.
pub(super) fn refresh(objects: &Path, path: &Path) -> bool {
    // Without the lock a collection could remove it just after.
    let Ok(lock) = lock_file(objects) else { return false };
    if lock.lock_shared().is_err() {
        return false;
    }
    let times = FileTimes::new().set_modified(SystemTime::now());
    File::open(path).and_then(|file| file.set_times(times)).is_ok()
}

/// Takes a folder of the store (not below `objects/`) into use: it is there and young when this returns.
pub fn use_folder(store: &Path, folder: &Path) -> Result<(), StoreError> {
    let objects = store.join("objects");
    fs::create_dir_all(&objects).map_err(|e| io("making", &objects, e))?;
    let lock = lock_file(&objects).and_then(|lock| lock.lock_shared().map(|()| lock));
    let _lock = lock.map_err(|e| io("locking", &objects, e))?;
    // A link in its place, which somebody left there, is not followed.
    if folder.is_symlink() {
        fs::remove_file(folder).map_err(|e| io("removing", folder, e))?;
    }
    fs::create_dir_all(folder).map_err(|e| io("making", folder, e))?;
    let times = FileTimes::new().set_modified(SystemTime::now());
    File::open(folder).and_then(|file| file.set_times(times)).map_err(|e| io("using", folder, e))
}

/// Opens the file that stands for the right to remove (exclusive) or to rely on (shared) what is there.
pub(super) fn lock_file(objects: &Path) -> std::io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(objects.join("lock"))
}
