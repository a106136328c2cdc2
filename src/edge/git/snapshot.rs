//! The tree as it lies there, kept in the store, and what is known of its commit.
//!
//! Not here: laying it out again (`workspace`).

use super::stamps::{Stamp, Stamps};
use super::{Facts, GitError, facts};
use crate::store::{Entry, EntryKind, FileObjects, Manifest, path_text, text_path};
use git2::{Repository, Status, StatusOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use tidegate_flow::job::SourceSpec;

/// What a run starts from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The tree to work in.
    pub source: SourceSpec,
    /// What git says about it.
    pub facts: Facts,
    /// Paths, relative to the tree, that differ from the commit; empty outside a repository.
    pub dirty: Vec<String>,
    /// Digests of the project's files, by path relative to the project.
    pub files: BTreeMap<String, String>,
    /// What people should know: what was left out and why.
    pub notes: Vec<String>,
}

/// Keeps the tree that holds the project: what git tracks and what it would add, as it lies there.
/// Outside a repository the project's folder is the tree. `store` holds the memory of what was
/// read before, so that an unchanged file is not read again.
pub fn snapshot(project: &Path, objects: &FileObjects, store: &Path) -> Result<Snapshot, GitError> {
    let project = project.canonicalize().map_err(|e| GitError::io(project, e))?;
    let mut found = Snapshot::default();
    let (root, paths) = match repository(&project)? {
        Some((repository, root)) => {
            found.facts = facts(&repository);
            found.source.commit.clone_from(&found.facts.sha);
            let paths = tracked(&repository, &root, store, &mut found)?;
            (root, paths)
        }
        None => {
            let mut paths = BTreeSet::new();
            walk(&project, Path::new(""), store, &mut paths)?;
            (project.clone(), paths)
        }
    };
    found.source.project = path_text(project.strip_prefix(&root).unwrap_or(Path::new("")));
    keep(&root, paths, objects, store, &mut found)?;
    Ok(found)
}

/// Finds the repository whose working copy holds the project.
fn repository(project: &Path) -> Result<Option<(Repository, PathBuf)>, GitError> {
    let repository = match Repository::discover(project) {
        Ok(repository) => repository,
        Err(e) if e.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let Some(root) = repository.workdir() else { return Ok(None) };
    let root = root.canonicalize().map_err(|e| GitError::io(root, e))?;
    Ok(Some((repository, root)))
}

/// Lists what git tracks and what it would add, without what is gone.
fn tracked(
    repository: &Repository,
    root: &Path,
    store: &Path,
    found: &mut Snapshot,
) -> Result<BTreeSet<PathBuf>, GitError> {
    let path_of = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let mut paths = BTreeSet::new();
    for entry in repository.index()?.iter() {
        // A submodule's content is another repository's.
        if entry.mode == 0o160_000 {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            found
                .notes
                .push(format!("the submodule {path} is not part of the tree: its folder is empty there"));
        }
        paths.insert(path_of(&entry.path));
    }
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false)
        .exclude_submodules(true);
    for status in repository.statuses(Some(&mut options))?.iter() {
        let path = path_of(status.path_bytes());
        let stored =
            path.components().any(|c| c.as_os_str() == ".tidegate") || root.join(&path).starts_with(store);
        if status.status() == Status::CURRENT || stored {
            continue;
        }
        found.source.dirty = true;
        found.dirty.push(path_text(&path));
        if status.status().is_wt_new() && root.join(&path).is_dir() {
            let path = path_text(&path);
            let path = path.trim_end_matches('/');
            found.notes.push(format!("{path} is a repository of its own: it is not part of the tree"));
        }
        if root.join(&path).symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            paths.insert(path);
        } else {
            paths.remove(&path);
        }
    }
    Ok(paths)
}

/// Lists all files of a folder that is no repository's; stores are left out.
fn walk(root: &Path, below: &Path, store: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<(), GitError> {
    let folder = root.join(below);
    for entry in std::fs::read_dir(&folder).map_err(|e| GitError::io(&folder, e))? {
        let entry = entry.map_err(|e| GitError::io(&folder, e))?;
        let kind = entry.file_type().map_err(|e| GitError::io(&entry.path(), e))?;
        let name = entry.file_name();
        if !kind.is_dir() {
            paths.insert(below.join(name));
        } else if name != ".git" && name != ".tidegate" && entry.path() != store {
            walk(root, &below.join(name), store, paths)?;
        }
    }
    Ok(())
}

/// Keeps the files and the list of them.
fn keep(
    root: &Path,
    paths: BTreeSet<PathBuf>,
    objects: &FileObjects,
    store: &Path,
    found: &mut Snapshot,
) -> Result<(), GitError> {
    let memory = store.join("tree.json");
    let known = Stamps::read(&memory, root);
    let mut seen = Stamps::new(root);
    let surely_kept = known.surely_kept();
    if surely_kept {
        seen.kept_since(&known);
    }
    let mut manifest = Manifest { tree: true, ..Manifest::default() };
    for path in paths {
        let whole = root.join(&path);
        // Gone or replaced since the list was made: the tree is what lies there now.
        let Ok(meta) = whole.symlink_metadata() else { continue };
        let text = path_text(&path);
        let kind = if meta.is_symlink() {
            let target = std::fs::read_link(&whole).map_err(|e| GitError::io(&whole, e))?;
            EntryKind::Link { target: path_text(&target) }
        } else if meta.is_file() {
            let stamp = Stamp::of(&meta);
            let kind = match known.get(&text, &stamp) {
                Some(kind) if surely_kept || objects.claim_content(kind) => kind.clone(),
                _ => objects.put_file(&whole)?,
            };
            seen.insert(text.clone(), stamp, kind.clone());
            kind
        } else if meta.is_dir() {
            // Only a submodule is listed as one entry and is a folder.
            manifest.entries.push(Entry { path: text, kind: EntryKind::Folder });
            continue;
        } else {
            found.notes.push(format!("{text} is neither a file nor a link: left out"));
            continue;
        };
        manifest.entries.push(Entry { path: text, kind });
    }
    found.files = files_of(&manifest, &found.source.project);
    found.source.tree = objects.put_manifest(manifest)?.digest;
    seen.write(&memory);
    Ok(())
}

/// Digests of the files of a kept tree that lie below the project's folder, by path from there.
pub fn files_of(tree: &Manifest, project: &str) -> BTreeMap<String, String> {
    let digest = |entry: &Entry| match &entry.kind {
        EntryKind::File { digest, .. } => Some(digest.clone()),
        EntryKind::Link { target } => Some(blake3::hash(target.as_bytes()).to_hex().to_string()),
        EntryKind::Folder => None,
    };
    let inside = |path: &str| {
        let path = text_path(path);
        path.strip_prefix(text_path(project)).ok().map(path_text)
    };
    tree.entries.iter().filter_map(|entry| Some((inside(&entry.path)?, digest(entry)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Objects as _;
    use std::fs;
    use std::process::Command;

    struct Place {
        folder: tempfile::TempDir,
        objects: FileObjects,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("tree/sub")).unwrap();
            let objects = FileObjects::open(folder.path().join("store/objects")).unwrap();
            Self { folder, objects }
        }

        fn sh(&self, line: &str) {
            let mut shell = Command::new("sh");
            shell.args(["-ec", line]).current_dir(self.folder.path().join("tree"));
            for who in ["AUTHOR", "COMMITTER"] {
                shell.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "a@example.com");
            }
            assert!(shell.env("HOME", self.folder.path()).status().unwrap().success(), "{line}");
        }

        fn snapshot(&self) -> Snapshot {
            let (tree, store) = (self.folder.path().join("tree/sub"), self.folder.path().join("store"));
            snapshot(&tree, &self.objects, &store).unwrap()
        }
    }

    #[test]
    fn a_repository_gives_its_tree_with_what_changed() {
        let place = Place::new();
        place.sh("git init -q -b main .; echo out > .gitignore; echo 1 > a; echo 2 > sub/b; git add -A; git commit -qm 1");
        let clean = place.snapshot();
        assert!(!clean.source.dirty && clean.source.commit.len() == 40 && clean.source.project == "sub");
        assert_eq!(
            (clean.facts.branch.as_str(), clean.facts.reference.as_str()),
            ("main", "refs/heads/main")
        );
        assert_eq!(clean.files.keys().map(String::as_str).collect::<Vec<_>>(), ["b"]);
        place.sh("echo x > out; echo 3 > sub/new; rm a; echo 4 > sub/b");
        let dirty = place.snapshot();
        assert_eq!(dirty.dirty, ["a", "sub/b", "sub/new"]);
        assert_ne!(dirty.source.tree, clean.source.tree);
        let paths: Vec<_> =
            place.objects.manifest(&dirty.source.tree).unwrap().entries.into_iter().map(|e| e.path).collect();
        assert_eq!(paths, [".gitignore", "sub/b", "sub/new"]);
        assert_eq!(place.snapshot().source.tree, dirty.source.tree);
        let kept = place.objects.manifest(&dirty.source.tree).unwrap();
        assert_eq!(files_of(&kept, "sub"), dirty.files);
    }

    #[test]
    fn a_folder_that_is_no_repository_is_taken_whole() {
        let place = Place::new();
        place.sh("echo 1 > sub/a; mkdir sub/.tidegate; echo 2 > sub/.tidegate/x; ln -s /etc/hosts sub/link");
        let found = place.snapshot();
        assert_eq!(found.files.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "link"]);
        assert!(found.source.commit.is_empty() && !found.source.dirty && found.source.project.is_empty());
        assert!(place.objects.get(&found.source.tree).is_ok());
    }

    #[test]
    fn a_repository_without_a_commit_still_has_a_tree() {
        let place = Place::new();
        place.sh("git init -q -b trunk .; echo 1 > sub/a");
        let found = place.snapshot();
        assert_eq!((found.facts.branch.as_str(), found.facts.sha.as_str()), ("trunk", ""));
        assert_eq!(found.dirty, ["sub/a"]);
    }

    /// What was collected meanwhile is kept again, whatever the memory says; what is found old is
    /// young afterwards, so that a collection leaves it.
    #[test]
    fn a_memory_that_is_not_fresh_is_not_believed() {
        use std::time::{Duration, SystemTime};
        let place = Place::new();
        place.sh("echo 1 > sub/a; echo 2 > sub/b; touch -d '2 days ago' sub/a sub/b");
        // A file that changed just now is read again whatever the memory says.
        let written = SystemTime::now();
        while written.elapsed().is_ok_and(|time| time < Duration::from_millis(60)) {
            std::thread::yield_now();
        }
        let first = place.snapshot();
        let memory = place.folder.path().join("store/tree.json");
        let forget = || {
            let mut stamps: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
            stamps["claimed"] = serde_json::json!(1);
            fs::write(&memory, stamps.to_string()).unwrap();
        };
        let object = |name: &str| {
            let digest = &first.files[name];
            place.folder.path().join("store/objects").join(&digest[..2]).join(&digest[2..])
        };
        let old = SystemTime::now() - Duration::from_hours(48);
        for name in ["a", "b"] {
            fs::File::open(object(name)).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(place.snapshot(), first);
        assert_eq!(fs::metadata(object("b")).unwrap().modified().unwrap(), old, "seen lately: not asked");
        fs::remove_file(object("a")).unwrap();
        forget();
        assert_eq!(place.snapshot(), first);
        assert!(object("a").exists());
        assert!(fs::metadata(object("b")).unwrap().modified().unwrap() > old + Duration::from_hours(47));
    }
}
