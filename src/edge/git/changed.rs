//! Files that changed since another commit.

use git2::{Commit, Repository};
use std::path::Path;

/// Lists the paths, relative to the repository, that differ between `from` and what is checked out.
/// `from` is a commit, or a branch (here or at `origin`), and then the place where both parted
/// counts, as for a pull request. `None` where git does not know it.
pub fn changed_since(folder: &Path, from: &str) -> Option<Vec<String>> {
    let repository = Repository::discover(folder).ok()?;
    let head = repository.head().ok()?.peel_to_commit().ok()?;
    let named = |name: String| repository.revparse_single(&name).ok()?.peel_to_commit().ok();
    let other = named(format!("refs/remotes/origin/{from}"))
        .or_else(|| named(format!("refs/heads/{from}")))
        .or_else(|| named(from.to_owned()))?;
    let base = repository.merge_base(head.id(), other.id()).ok()?;
    let base: Commit = repository.find_commit(base).ok()?;
    let (before, now) = (base.tree().ok()?, head.tree().ok()?);
    let diff = repository.diff_tree_to_tree(Some(&before), Some(&now), None).ok()?;
    let path = |delta: git2::DiffDelta| {
        let file = delta.new_file().path_bytes().or(delta.old_file().path_bytes());
        file.map(|path| String::from_utf8_lossy(path).into_owned())
    };
    Some(diff.deltas().filter_map(path).collect())
}
