//! Takes a folder as it lies into the store. Somebody may change it meanwhile, so each part is opened in the folder
//! that was opened before it, and no link is followed.
//!
//! Not here: how content is kept (`objects`).

use super::StoreError;
use super::manifest::{Entry, EntryKind, link_stays_below, path_text};
use super::objects::{FileObjects, io, refused};
use rustix::fs::{Mode, OFlags, open, openat, readlinkat};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Why a pipe, a socket or a device is no content.
pub(super) const NO_FILE: &str = "neither a file nor a folder: it cannot be kept";

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A pipe that was put in the place of a file is not waited for.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl FileObjects {
    /// Keeps everything below a folder.
    pub(super) fn walk(&self, root: &Path, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        let opened = open(root, FOLDER, Mode::empty()).map_err(|e| io("reading", root, e.into()))?;
        self.walk_in(&opened, root, Path::new(""), entries)
    }

    fn walk_in(
        &self,
        folder: &OwnedFd,
        root: &Path,
        below: &Path,
        entries: &mut Vec<Entry>,
    ) -> Result<(), StoreError> {
        let handle = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        let mut names: Vec<_> = std::fs::read_dir(handle)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| io("reading", &root.join(below), e))?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        if names.is_empty() && !below.as_os_str().is_empty() {
            entries.push(Entry { path: path_text(below), kind: EntryKind::Folder });
        }
        for entry in names {
            let name = entry.file_name();
            let below = below.join(&name);
            let path = root.join(&below);
            let wrong = |e: std::io::Error| io("reading", &path, e);
            let kind = entry.file_type().map_err(wrong)?;
            if kind.is_dir() {
                let flags = FOLDER | OFlags::NOFOLLOW;
                let inner = openat(folder, &name, flags, Mode::empty()).map_err(|e| wrong(e.into()))?;
                self.walk_in(&inner, root, &below, entries)?;
                continue;
            }
            let kind = if kind.is_symlink() {
                let target = readlinkat(folder, &name, Vec::new()).map_err(|e| wrong(e.into()))?;
                link(&path, &below, OsString::from_vec(target.into_bytes()).into())?
            } else if kind.is_file() {
                let file = openat(folder, &name, FILE, Mode::empty()).map_err(|e| wrong(e.into()))?;
                let file = File::from(file);
                if !file.metadata().map_err(wrong)?.is_file() {
                    return Err(refused(&path, NO_FILE));
                }
                self.put_opened(file, &path)?
            } else {
                return Err(refused(&path, NO_FILE));
            };
            entries.push(Entry { path: path_text(&below), kind });
        }
        Ok(())
    }
}

/// A link as it is kept; one that leads out of the folder is refused.
fn link(path: &Path, below: &Path, target: PathBuf) -> Result<EntryKind, StoreError> {
    if !link_stays_below(below, &target) {
        let reason = format!("a link to {}, which is outside of the folder", target.display());
        return Err(refused(path, &reason));
    }
    Ok(EntryKind::Link { target: path_text(&target) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Objects as _;
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    /// Somebody puts links in the place of a file and of a folder, and takes them away again, all the time.
    #[test]
    fn a_link_that_comes_while_a_folder_is_read_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(base.path().join("objects")).unwrap();
        let (folder, out) = (base.path().join("folder"), base.path().join("out"));
        for folder in [&folder.join("sub"), &out] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("key"), folder.to_string_lossy().as_bytes()).unwrap();
        }
        std::fs::write(folder.join("file"), "mine").unwrap();
        std::os::unix::fs::symlink(&out, base.path().join("link")).unwrap();
        std::os::unix::fs::symlink(out.join("key"), base.path().join("file-link")).unwrap();
        let secret = blake3::hash(out.to_string_lossy().as_bytes()).to_hex().to_string();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for (one, other) in [("folder/sub", "link"), ("folder/file", "file-link")] {
                        let (one, other) = (base.path().join(one), base.path().join(other));
                        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                    }
                }
            });
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until {
                let _ = objects.put_path(&folder);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(objects.get(&secret).is_err(), "what is outside was kept");
    }
}
