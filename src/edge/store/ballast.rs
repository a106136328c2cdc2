//! Room that is kept for the log: a file of nothing, given up piece by piece when the disk is full, so
//! that a run whose step filled it can still be told to its end.
//!
//! Not here: when the log gives up a piece and tries again (`log`).

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Bytes kept: some hundred events.
const SIZE: u64 = 1 << 20;

/// Bytes given up at once. What else grows meanwhile may take one from us: there are several.
const PIECE: u64 = SIZE / 8;

/// The file, and the log it is kept for.
#[derive(Clone, Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    log: PathBuf,
}

impl Ballast {
    pub(super) fn of(dir: &Path) -> Self {
        Self { path: dir.join("ballast"), log: dir.join("runs.db-wal") }
    }

    /// Fills it up where there is room; where there is none, the next run tries again.
    pub(super) fn keep(&self) {
        if self.size() < SIZE {
            // Only a full disk misses it, and that one says so itself.
            let _ = self.fill();
        }
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        let had = file.metadata()?.len();
        let filled = match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
            // Not every file system can; it is written once in a store's life.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                file.write_all(&vec![0; usize::try_from(SIZE).unwrap_or_default()])
            }
            other => other.map_err(io::Error::from),
        };
        if filled.is_err() {
            file.set_len(had)?;
        }
        filled
    }

    /// Gives up a piece, and takes some of its room for the log at once, before others do. Tells
    /// whether there was one.
    pub(super) fn give_up(&self) -> bool {
        let size = self.size();
        let given = size > 0
            && OpenOptions::new()
                .write(true)
                .open(&self.path)
                .is_ok_and(|file| file.set_len(size.saturating_sub(PIECE)).is_ok());
        if given {
            // The log is tried again even if this cannot be done.
            let _ = self.take_for_log();
        }
        given
    }

    /// Half of a piece: the index beside the log may have to grow, too.
    fn take_for_log(&self) -> io::Result<()> {
        let log = File::options().write(true).open(&self.log)?;
        let end = log.metadata()?.len();
        Ok(fallocate(&log, FallocateFlags::KEEP_SIZE, end, PIECE / 2)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn it_is_made_given_up_in_pieces_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        std::fs::write(dir.join("runs.db-wal"), "log").unwrap();
        let ballast = Ballast::of(dir);
        ballast.keep();
        let blocks = || std::fs::metadata(dir.join("ballast")).unwrap().blocks() * 512;
        assert!(blocks() >= SIZE, "it takes no room");
        for left in (0..8).rev() {
            assert!(ballast.give_up());
            assert_eq!(ballast.size(), left * PIECE);
            assert!(blocks() <= left * PIECE + 4096);
        }
        assert!(!ballast.give_up(), "nothing is left");
        assert_eq!(std::fs::read(dir.join("runs.db-wal")).unwrap(), b"log");
        ballast.keep();
        assert!(blocks() >= SIZE);
    }

    #[test]
    fn without_a_file_there_is_nothing_to_give_up() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(&folder.path().join("gone"));
        ballast.keep();
        assert!(!ballast.give_up());
    }
}
