//! A folder for files that are not whole yet, beside the place where they are to be: it goes with its process, or, if that
//! was killed, when the next one needs such a folder there.

use super::StoreError;
use super::objects::io;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

const NAME: &str = ".tidegate-download-";
/// Held by the process whose folder it is.
const LOCK: &str = "lock";

/// Such a folder.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    _lock: File,
}

impl Beside {
    /// Makes one in a folder, after what dead processes left there is gone.
    pub(super) fn make(folder: &Path) -> Result<Self, StoreError> {
        clear_dead(folder);
        let mut number = 0;
        loop {
            let path = folder.join(format!("{NAME}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = File::create_new(path.join(LOCK)).map_err(|e| io("making", &path, e))?;
                    // Where files cannot be locked nothing is cleared either.
                    let held = flock(&lock, FlockOperation::NonBlockingLockExclusive);
                    // Somebody may have taken it for a dead one's between its making and its lock.
                    if held != Err(Errno::WOULDBLOCK) && is_there(&lock) {
                        return Ok(Self { path, _lock: lock });
                    }
                    number += 1;
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(e) => return Err(io("making", &path, e)),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        // Others may still be writing into it.
        for _ in 0..5 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
        }
    }
}

/// Removes the folders that no living process holds.
fn clear_dead(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let named = entry.file_name().as_encoded_bytes().starts_with(NAME.as_bytes());
        if !named || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        // One that went meanwhile says nothing of another that is in its place now.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && is_there(&lock) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Tells whether an open file still has a name.
fn is_there(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_one_away_that_is_just_being_made() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..300 {
                        let one = Beside::make(folder.path()).unwrap();
                        std::thread::yield_now();
                        fs::write(one.path().join("x"), "").unwrap();
                        one.clear();
                    }
                });
            }
        });
    }

    #[test]
    fn what_a_killed_process_left_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let found = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
            let mut found: Vec<_> = found.map(|name| name.into_string().unwrap()).collect();
            found.sort();
            found
        };
        let left = folder.path().join(format!("{NAME}1-0"));
        fs::create_dir_all(left.join("whole")).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("whole/x"), "half").unwrap();
        // These only look like it.
        fs::create_dir(folder.path().join(format!("{NAME}mine"))).unwrap();
        std::os::unix::fs::symlink(&left, folder.path().join(format!("{NAME}link"))).unwrap();
        let one = Beside::make(folder.path()).unwrap();
        let two = Beside::make(folder.path()).unwrap();
        let own = |n| format!("{NAME}{}-{n}", std::process::id());
        let mut expected = vec![own(0), own(1), format!("{NAME}link"), format!("{NAME}mine")];
        expected.sort();
        assert_eq!(names(), expected, "one that lives stays");
        one.clear();
        two.clear();
        assert_eq!(names(), [format!("{NAME}link"), format!("{NAME}mine")]);
    }
}
