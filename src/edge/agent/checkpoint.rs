//! `checkpoint`: a folder that is kept across attempts of the same instance.

use super::job::Job;
use super::keep::within;
use super::place::file_name;
use super::saver::Saver;
use super::scope::Failed;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Job<'_> {
    /// Where the checkpoint is kept between attempts; `None` where there is none, and in place.
    pub(super) fn checkpoint_folder(&self) -> Option<PathBuf> {
        let checkpoint = self.spec.checkpoint.as_ref().filter(|_| !self.place.in_place)?;
        let key = if checkpoint.key.is_empty() {
            format!("{}.{}.{}", self.spec.run, self.spec.job, self.spec.instance)
        } else {
            checkpoint.key.clone()
        };
        Some(self.around.checkpoints.root().join("checkpoints").join(file_name(&key)))
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
        let Some(kept) = self.checkpoint_folder() else { return Ok(None) };
        let to = self.place.project.join(path.trim_end_matches('/'));
        if !within(&self.place.root, to.parent().unwrap_or(&to)) {
            return Err(Failed::user(format!("checkpoint {path} lies outside of the work folder")));
        }
        let wrong =
            |e: std::io::Error| Failed::new(super::job::class_of(&e), format!("checkpoint {path}: {e}"));
        // What an earlier attempt put in the place of its folder is not followed.
        if kept.is_symlink() {
            std::fs::remove_file(&kept).map_err(wrong)?;
        }
        let found = kept.read_dir().is_ok_and(|mut d| d.next().is_some());
        let lost = |e| Failed::new(super::job::class_of_store(&e), format!("checkpoint {path}: {e}"));
        crate::store::use_folder(self.around.checkpoints.root(), &kept).map_err(lost)?;
        let saved = self.spec.checkpoint.as_ref().and_then(|c| c.saved.as_ref());
        let found = match saved {
            Some(saved) if !found => {
                std::fs::remove_dir(&kept).map_err(wrong)?;
                self.around.objects.fetch(saved, &kept).map_err(lost)?;
                true
            }
            _ => found,
        };
        match std::fs::symlink_metadata(&to) {
            Ok(there) if there.is_symlink() => std::fs::remove_file(&to).map_err(wrong)?,
            Ok(there) if there.is_dir() => move_into(&to, &kept, found).map_err(wrong)?,
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
}

impl Checkpoints {
    fn root(&self) -> &Path {
        match self {
            Self::Stay(root) | Self::Saved(root) => root,
        }
    }
}

/// The tree's own folder gives the first content, and gives way.
fn move_into(from: &Path, to: &Path, found: bool) -> std::io::Result<()> {
    if !found {
        std::fs::remove_dir(to)?;
        if std::fs::rename(from, to).is_ok() {
            return Ok(());
        }
        std::fs::create_dir_all(to)?;
    }
    std::fs::remove_dir_all(from)
}
