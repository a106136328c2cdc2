//! What lies in the work folder before the first step: consumed content, the checkpoint.

use super::job::{Job, class_of, class_of_store};
use super::keep::within;
use super::place::{file_name, remove};
use super::scope::Failed;
use std::path::{Path, PathBuf};
use tidegate_flow::job::ArtifactRef;

impl Job<'_> {
    /// Lays in what the job consumes; returns what is to be said at the top of the log.
    pub(super) fn lay_in(&mut self) -> Result<Vec<String>, Failed> {
        let mut notes = Vec::new();
        if let Some(image) = self.spec.image.as_ref().filter(|_| !self.around.in_image) {
            notes.push(format!(
                "the job's image {image} is not used: its steps run as processes of this machine"
            ));
        }
        if let Some(path) = &self.spec.source.in_place {
            notes.push(format!("runs in the working tree itself: {path}"));
        }
        for consume in &self.spec.consumes {
            let to = self.place.project.join(consume.path.trim_end_matches('/'));
            if !within(&self.place.root, &to) || to == self.place.project {
                return Err(Failed::user(format!(
                    "consumes: `{}` is not a place inside of the work folder",
                    consume.path
                )));
            }
            if consume.list {
                for (index, item) in consume.items.iter().enumerate() {
                    // A subfolder for each: a file keeps its name in it.
                    let folder = to.join(index.to_string());
                    let name = Path::new(&item.name).file_name().filter(|_| !item.tree);
                    self.put_in(item, &name.map_or_else(|| folder.clone(), |name| folder.join(name)))?;
                }
            } else {
                for item in &consume.items {
                    self.put_in(item, &to)?;
                }
            }
        }
        if let Some(path) = self.spec.checkpoint.as_ref().map(|c| c.path.clone()) {
            notes.extend(self.lay_in_checkpoint(&path)?);
        }
        Ok(notes)
    }

    /// Lays content in. What the tree has at this place gives way; in the user's own tree only what an
    /// earlier run laid in there, and nobody changed since.
    fn put_in(&self, item: &ArtifactRef, to: &Path) -> Result<(), Failed> {
        if !self.place.in_place {
            return self.fetch(item, to);
        }
        let note = self.laid_in(to);
        if to.symlink_metadata().is_ok() {
            let there = self.around.objects.put_path(to).map(|a| a.digest).unwrap_or_default();
            if there == item.digest {
                return Ok(());
            }
            if std::fs::read_to_string(&note).is_ok_and(|laid| laid != there) || !note.is_file() {
                return Err(Failed::user(format!(
                    "consumes: {} is there already, and it is not what an earlier run put there; move it away, or run without --in-place",
                    to.display()
                )));
            }
        }
        self.fetch(item, to)?;
        let wrong = |e: std::io::Error| Failed::new(class_of(&e), format!("{}: {e}", note.display()));
        note.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(wrong)?;
        std::fs::write(&note, &item.digest).map_err(wrong)
    }

    /// Where it is noted what lies at a path of the user's tree because of an earlier run.
    fn laid_in(&self, to: &Path) -> PathBuf {
        let name = blake3::hash(to.as_os_str().as_encoded_bytes()).to_hex().to_string();
        self.around.store.join("in-place").join(name)
    }

    /// Returns a folder of the agent's own that is not there, for content on its way: two names may have one.
    pub(super) fn staged(&self, kind: &str, name: &str) -> Result<PathBuf, Failed> {
        let staged = self.staging.join(kind).join(file_name(name));
        remove(&staged);
        if staged.symlink_metadata().is_ok() {
            return Err(Failed::user(format!("`{name}`: what was kept before it cannot be cleared away")));
        }
        Ok(staged)
    }

    /// Fetches content to a path; what is there gives way.
    pub(super) fn fetch(&self, item: &ArtifactRef, to: &Path) -> Result<(), Failed> {
        let wrong =
            |e: &std::io::Error| Failed::new(class_of(e), format!("cannot lay in {}: {e}", to.display()));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(|e| wrong(&e))?;
        }
        if let Ok(there) = std::fs::symlink_metadata(to) {
            if there.is_dir() { std::fs::remove_dir_all(to) } else { std::fs::remove_file(to) }
                .map_err(|e| wrong(&e))?;
        }
        self.around
            .objects
            .fetch(item, to)
            .map_err(|e| Failed::new(class_of_store(&e), format!("cannot lay in {}: {e}", to.display())))
    }
}
