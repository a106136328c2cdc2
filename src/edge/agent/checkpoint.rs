//! `checkpoint`: a folder that is kept across attempts of the same instance.

use super::copy::{At, copy_tree};
use super::fence::Fence;
use super::job::Job;
use super::keep::within;
use super::place::file_name;
use super::saver::Saver;
use super::scope::Failed;
use crate::store::StoreError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_flow::job::JobSpec;

/// Makes the folder of a store that an attempt's checkpoint is kept in, and returns it; `None` where none is kept. It is
/// the same folder from here on: a container may have it mounted before anything is laid in.
pub fn checkpoint_folder(store: &Path, spec: &JobSpec) -> Result<Option<PathBuf>, StoreError> {
    let Some(kept) = place(store, spec) else { return Ok(None) };
    crate::store::use_folder(store, &kept)?;
    Ok(Some(kept))
}

/// Where a checkpoint is kept between attempts; `None` where there is none, and in place.
fn place(root: &Path, spec: &JobSpec) -> Option<PathBuf> {
    let checkpoint = spec.checkpoint.as_ref().filter(|_| spec.source.in_place.is_none())?;
    let key = if checkpoint.key.is_empty() {
        format!("{}.{}.{}", spec.run, spec.job, spec.instance)
    } else {
        checkpoint.key.clone()
    };
    Some(root.join("checkpoints").join(file_name(&key)))
}

impl Job<'_> {
    /// Where the checkpoint is kept between attempts; `None` where there is none, and in place.
    pub(super) fn checkpoint_folder(&self) -> Option<PathBuf> {
        place(self.around.checkpoints.root(), self.spec).filter(|_| !self.place.in_place)
    }

    /// Tells whether this is one of several nodes, and not the first: what it keeps does not count.
    pub(super) fn follows(&self) -> bool {
        matches!(self.around.checkpoints, Checkpoints::Followed(_))
    }

    /// Starts to save the checkpoint where it would be lost with the attempt.
    pub(super) fn save_checkpoints(&mut self) -> Option<Saver> {
        let Checkpoints::Saved(_) = self.around.checkpoints else { return None };
        let folder = self.checkpoint_folder()?;
        let seconds = self.spec.checkpoint.as_ref()?.every_seconds.max(0.1);
        let every = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        match Saver::start(folder, every, self.around.objects.clone(), self.link.clone()) {
            Ok(saver) => Some(saver),
            Err(error) => {
                self.output.note(&format!("##[warning]checkpoints are not saved: {error}"));
                None
            }
        }
    }

    /// Puts the saved folder into the work folder: as a link to where it is kept, so that what a
    /// step writes is saved while it runs, and a kill at any moment loses nothing that was written.
    ///
    /// In the user's own tree the folder is used as it lies there: it stays anyway.
    pub(super) fn lay_in_checkpoint(&self, path: &str) -> Result<Option<String>, Failed> {
        if self.place.in_place {
            return Ok(None);
        }
        let to = self.place.project.join(path.trim_end_matches('/'));
        if !within(&self.place.root, to.parent().unwrap_or(&to)) {
            return Err(Failed::user(format!("checkpoint {path} lies outside of the work folder")));
        }
        let wrong = |e: io::Error| Failed::new(super::job::class_of(&e), format!("checkpoint {path}: {e}"));
        let lost = |e| Failed::new(super::job::class_of_store(&e), format!("checkpoint {path}: {e}"));
        let made = checkpoint_folder(self.around.checkpoints.root(), self.spec).map_err(lost)?;
        let Some(kept) = made else { return Ok(None) };
        let ready = Ready::beside(&kept);
        ready.pour(&kept).map_err(wrong)?;
        let found = kept.read_dir().is_ok_and(|mut d| d.next().is_some());
        let saved = self.spec.checkpoint.as_ref().and_then(|c| c.saved.as_ref());
        let found = match saved {
            Some(saved) if !found => {
                ready.clear();
                self.around.objects.fetch(saved, &ready.part).map_err(lost)?;
                ready.whole().and_then(|()| ready.pour(&kept)).map_err(wrong)?;
                true
            }
            _ => found,
        };
        match std::fs::symlink_metadata(&to) {
            Ok(there) if there.is_symlink() => std::fs::remove_file(&to).map_err(wrong)?,
            Ok(there) if there.is_dir() && found => std::fs::remove_dir_all(&to).map_err(wrong)?,
            Ok(there) if there.is_dir() => {
                ready.take(&to).and_then(|()| ready.pour(&kept)).map_err(wrong)?;
            }
            Ok(_) => {
                return Err(Failed::user(format!(
                    "checkpoint {path}: there is a file of that name in the tree"
                )));
            }
            Err(_) => {
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent).map_err(wrong)?;
                }
            }
        }
        std::os::unix::fs::symlink(&kept, &to).map_err(wrong)?;
        Ok(found.then(|| format!("continues from the checkpoint in {path}")))
    }
}

/// Where checkpoints are kept between attempts, below a folder `checkpoints`.
#[derive(Clone, Debug)]
pub enum Checkpoints {
    /// In this store, which stays.
    Stay(PathBuf),
    /// In this folder, which goes with the attempt: they are saved as objects, too.
    Saved(PathBuf),
    /// In this folder, which goes with the attempt; the first of several nodes saves its own for all.
    Followed(PathBuf),
}

impl Checkpoints {
    fn root(&self) -> &Path {
        match self {
            Self::Stay(root) | Self::Saved(root) | Self::Followed(root) => root,
        }
    }
}

/// A checkpoint's first content, beside its folder: whole before any of it is in there, so that after a kill the next
/// attempt puts in the rest.
struct Ready {
    /// While it comes.
    part: PathBuf,
    /// When it is whole.
    whole: PathBuf,
}

impl Ready {
    fn beside(kept: &Path) -> Self {
        let name = kept.file_name().unwrap_or_default().to_string_lossy();
        Self {
            part: kept.with_file_name(format!(".{name}.part")),
            whole: kept.with_file_name(format!(".{name}.new")),
        }
    }

    fn clear(&self) {
        super::place::remove(&self.part);
    }

    fn whole(&self) -> io::Result<()> {
        std::fs::rename(&self.part, &self.whole)
    }

    /// Takes a folder over; one of another file system is copied.
    fn take(&self, from: &Path) -> io::Result<()> {
        match std::fs::rename(from, &self.whole) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            other => return other,
        }
        self.clear();
        std::fs::create_dir_all(&self.part)?;
        let fence = Fence::around(vec![from.to_owned(), self.part.clone()])?;
        copy_tree(At(&fence, from), At(&fence, &self.part))?;
        self.whole()?;
        std::fs::remove_dir_all(from)
    }

    /// Puts what is whole into the checkpoint's folder, which stays the same one.
    fn pour(&self, kept: &Path) -> io::Result<()> {
        if !self.whole.is_dir() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&self.whole)? {
            let entry = entry?;
            std::fs::rename(entry.path(), kept.join(entry.file_name()))?;
        }
        std::fs::remove_dir(&self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_content_is_whole_whenever_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (from, kept) = (folder.path().join("from"), folder.path().join("kept"));
        for name in ["from/sub", "kept"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        std::fs::write(from.join("sub/a"), "a").unwrap();
        std::fs::write(from.join("b"), "b").unwrap();
        let mounted = std::fs::File::open(&kept).unwrap();
        let ready = Ready::beside(&kept);
        ready.take(&from).unwrap();
        // Killed in the middle.
        std::fs::rename(ready.whole.join("b"), kept.join("b")).unwrap();
        ready.pour(&kept).unwrap();
        ready.pour(&kept).unwrap();
        assert_eq!(std::fs::read_to_string(kept.join("sub/a")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(kept.join("b")).unwrap(), "b");
        assert!(!from.exists() && !ready.whole.exists());
        // The folder that a container has is still the one.
        let inode = |meta: std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(&meta);
        assert_eq!(inode(mounted.metadata().unwrap()), inode(kept.metadata().unwrap()));
    }
}
