//! Folders of an attempt: the tree it works in, and a folder for its temporary files.

use crate::store::Objects;
use crate::workspace::Workspaces;
use std::path::{Path, PathBuf};
use tidegate_flow::job::{ArtifactRef, JobSpec, SourceSpec};

/// Where attempts get their work folders from.
pub trait Places: Send + Sync {
    /// Makes the work folder of an attempt.
    fn prepare(&self, source: &SourceSpec, token: &str) -> Result<Place, String>;
    /// Gives it back.
    fn release(&self, place: Place, left: Left);
}

/// What an attempt leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its files.
    Files,
    /// Its files on a full disk: they give way at once, so that there is room to say so.
    FullDisk,
    /// Somebody who may still write to the folder.
    Writers,
}

/// A work folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The whole tree.
    pub root: PathBuf,
    /// The project's folder in it: `GITHUB_WORKSPACE`.
    pub project: PathBuf,
    /// Whether it is the user's own tree, never to be removed.
    pub in_place: bool,
}

/// A new folder for each attempt, removed after it.
pub struct FreshFolders {
    folder: PathBuf,
    objects: std::sync::Arc<dyn Objects>,
}

impl FreshFolders {
    /// Makes folders below `folder`.
    pub fn new(folder: PathBuf, objects: std::sync::Arc<dyn Objects>) -> Self {
        Self { folder, objects }
    }
}

impl Places for FreshFolders {
    fn prepare(&self, source: &SourceSpec, token: &str) -> Result<Place, String> {
        if let Some(path) = &source.in_place {
            let root = PathBuf::from(path);
            return Ok(Place { project: inside(&root, &source.project), root, in_place: true });
        }
        let root = self.folder.join(file_name(token));
        if source.tree.is_empty() {
            std::fs::create_dir_all(&root)
                .map_err(|e| format!("cannot make the work folder {}: {e}", root.display()))?;
        } else {
            let tree = ArtifactRef { digest: source.tree.clone(), tree: true, ..ArtifactRef::default() };
            std::fs::create_dir_all(&self.folder)
                .map_err(|e| format!("cannot make {}: {e}", self.folder.display()))?;
            self.objects.fetch(&tree, &root).map_err(|e| format!("cannot lay out the tree: {e}"))?;
        }
        let project = inside(&root, &source.project);
        std::fs::create_dir_all(&project).map_err(|e| format!("cannot make {}: {e}", project.display()))?;
        Ok(Place { root, project, in_place: false })
    }

    fn release(&self, place: Place, _left: Left) {
        if !place.in_place {
            remove(&place.root);
        }
    }
}

impl Places for Workspaces {
    fn prepare(&self, source: &SourceSpec, _token: &str) -> Result<Place, String> {
        let workspace =
            Workspaces::prepare(self, source).map_err(|e| format!("cannot make the work folder: {e}"))?;
        Ok(Place { root: workspace.root, project: workspace.project, in_place: workspace.in_place })
    }

    fn release(&self, place: Place, left: Left) {
        if left == Left::FullDisk && !place.in_place {
            remove(&place.root);
        }
        match left {
            Left::Files | Left::FullDisk => Workspaces::release(self, &place.root),
            Left::Writers => Workspaces::retire(self, &place.root),
        }
    }
}

fn inside(root: &Path, project: &str) -> PathBuf {
    if project.is_empty() { root.to_owned() } else { root.join(project) }
}

/// Removes a folder of an attempt; folders that a step made read-only are opened first.
pub fn remove(folder: &Path) {
    if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
        return;
    }
    open_up(folder, 0);
    let _ = std::fs::remove_dir_all(folder);
}

fn open_up(folder: &Path, depth: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if depth < 200 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            open_up(&entry.path(), depth + 1);
        }
    }
}

/// A token as a file name; one of nothing but dots would be that of another folder.
pub fn file_name(token: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = token.chars().map(plain).collect();
    if name.chars().all(|c| c == '.') { name + "-" } else { name }
}

/// Where an attempt's masked log is kept; `instance` counts over the run: jobs of two called workflows may have one id.
pub fn log_path(store: &Path, run: &str, job: &str, instance: u32, attempt: u32) -> PathBuf {
    let job = job.replace("__", "___").replace([' ', '/'], "__");
    store.join("runs").join(file_name(run)).join(format!("{}-{instance}.{attempt}.log", file_name(&job)))
}

/// The log of one of several nodes; that of node 0 is the attempt's.
pub fn node_log_path(attempt: &Path, node: u32) -> PathBuf {
    if node == 0 {
        return attempt.to_owned();
    }
    let name = attempt.file_name().unwrap_or_default().to_string_lossy();
    attempt.with_file_name(format!("{name}.node-{node}"))
}

/// [`log_path`] of a spec.
pub fn log_path_of(store: &Path, spec: &JobSpec) -> PathBuf {
    // The token has the run's number of the instance; the spec's own counts in its job.
    let instance = spec.token.split('.').nth(1).and_then(|number| number.parse().ok());
    log_path(store, &spec.run, &spec.job, instance.unwrap_or(spec.instance), spec.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_the_name_of_another_folder() {
        for (token, name) in
            [("a b/c", "a-b-c"), ("", "-"), (".", ".-"), ("..", "..-"), ("../x", "..-x"), (".a.", ".a.")]
        {
            assert_eq!(file_name(token), name);
        }
    }
}
