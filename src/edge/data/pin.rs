//! A source as it is now: every file kept by content, so that all jobs of a run read the same.

use crate::store::{Entry, EntryKind, FileObjects, Manifest, StoreError, path_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_flow::job::ArtifactRef;
use tidegate_lang::workflow::glob::Pattern;

/// What a workflow says of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A path, relative to the project; `file://` may stand before it.
    pub uri: String,
    /// Globs of what belongs to it; empty: everything.
    pub include: Vec<String>,
    /// Globs of what does not.
    pub exclude: Vec<String>,
}

/// A source as it was when the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its content; its digest is the source's version.
    pub artifact: ArtifactRef,
    /// Digest of each file by its path in the source.
    pub listing: BTreeMap<String, String>,
}

impl Pinned {
    /// Tells which paths are new, gone and different against an earlier listing, in that order.
    pub fn against(&self, before: &BTreeMap<String, String>) -> [Vec<String>; 3] {
        let new = self.listing.keys().filter(|k| !before.contains_key(*k));
        let gone = before.keys().filter(|k| !self.listing.contains_key(*k));
        let other = self.listing.iter().filter(|(k, v)| before.get(*k).is_some_and(|b| b != *v));
        [new.cloned().collect(), gone.cloned().collect(), other.map(|(k, _)| k.clone()).collect()]
    }
}

impl Pinned {
    /// Like [`Pinned::against`] an earlier version, which is looked up in the store; what is no longer
    /// there was empty.
    pub fn since(&self, earlier: &str, objects: &FileObjects) -> [Vec<String>; 3] {
        let entries = objects.manifest(earlier).map(|m| m.entries).unwrap_or_default();
        let mut before = BTreeMap::new();
        for Entry { path, kind } in entries {
            // A source that is one file has no path in its list.
            let own = self.listing.keys().next().filter(|_| path.is_empty()).cloned();
            note(&mut before, own.unwrap_or(path), &kind);
        }
        self.against(&before)
    }
}

/// Why a source cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is not on this machine.
    #[error(
        "{0} is not a path: sources elsewhere cannot be read yet; fetch it and run with --data NAME=PATH"
    )]
    Elsewhere(String),
    /// A glob is wrong.
    #[error("the glob `{glob}` is wrong: {reason}")]
    Glob {
        /// As written.
        glob: String,
        /// Why.
        reason: String,
    },
    /// Nothing is there, or nothing that the globs want.
    #[error("{uri}: {reason}")]
    Empty {
        /// As written.
        uri: String,
        /// What is missing.
        reason: String,
    },
    /// The file system said no.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether what is found is kept.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// All of it, in these objects: a run reads it later.
    Content(&'a FileObjects),
    /// Nothing: it is only looked at.
    Nothing,
}

impl Keep<'_> {
    fn file(self, path: &Path) -> Result<EntryKind, StoreError> {
        match self {
            Self::Content(objects) => objects.put_file(path),
            Self::Nothing => FileObjects::describe_file(path),
        }
    }

    fn list(self, manifest: Manifest) -> Result<ArtifactRef, StoreError> {
        match self {
            Self::Content(objects) => objects.put_manifest(manifest),
            Self::Nothing => Ok(FileObjects::describe_manifest(manifest)?.0),
        }
    }
}

/// Pins a source. Links are followed where they lead to files; folders behind links are not entered.
pub fn pin(wanted: &Wanted, project: &Path, keep: Keep<'_>) -> Result<Pinned, DataError> {
    let path = wanted.uri.strip_prefix("file://").unwrap_or(&wanted.uri);
    if path.contains("://") {
        return Err(DataError::Elsewhere(wanted.uri.clone()));
    }
    let root = project.join(path.trim_end_matches('/'));
    let meta = std::fs::metadata(&root).map_err(|e| read(&root, e))?;
    let mut listing = BTreeMap::new();
    if !meta.is_dir() {
        let kind = keep.file(&root)?;
        let name = root.file_name().map(|n| path_text(Path::new(n))).unwrap_or_default();
        note(&mut listing, name, &kind);
        let entries = vec![Entry { path: String::new(), kind }];
        return Ok(Pinned { artifact: keep.list(Manifest { entries, ..Manifest::default() })?, listing });
    }
    let (include, exclude) = (globs(&wanted.include)?, globs(&wanted.exclude)?);
    let mut files = Vec::new();
    walk(&root, Path::new(""), &mut files)?;
    let mut manifest = Manifest { tree: true, ..Manifest::default() };
    for below in files {
        let text = path_text(&below);
        let matches = |globs: &[Pattern]| globs.iter().any(|g| g.matches(&text));
        if (!include.is_empty() && !matches(&include)) || matches(&exclude) {
            continue;
        }
        let kind = keep.file(&root.join(&below))?;
        note(&mut listing, text.clone(), &kind);
        manifest.entries.push(Entry { path: text, kind });
    }
    if listing.is_empty() {
        let reason = if include.is_empty() { "holds no file" } else { "holds no file that `include` names" };
        return Err(DataError::Empty { uri: wanted.uri.clone(), reason: reason.to_owned() });
    }
    Ok(Pinned { artifact: keep.list(manifest)?, listing })
}

fn note(listing: &mut BTreeMap<String, String>, path: String, kind: &EntryKind) {
    if let EntryKind::File { digest, .. } = kind {
        listing.insert(path, digest.clone());
    }
}

fn globs(globs: &[String]) -> Result<Vec<Pattern>, DataError> {
    let glob = |text: &String| {
        Pattern::parse(text).map_err(|e| DataError::Glob { glob: text.clone(), reason: e.to_string() })
    };
    globs.iter().map(glob).collect()
}

fn walk(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let folder = root.join(below);
    for entry in std::fs::read_dir(&folder).map_err(|e| read(&folder, e))? {
        let entry = entry.map_err(|e| read(&folder, e))?;
        let below = below.join(entry.file_name());
        let kind = entry.file_type().map_err(|e| read(&entry.path(), e))?;
        if kind.is_dir() {
            walk(root, &below, files)?;
        } else if kind.is_file() || std::fs::metadata(entry.path()).is_ok_and(|m| m.is_file()) {
            files.push(below);
        }
    }
    Ok(())
}

fn read(path: &Path, source: std::io::Error) -> DataError {
    DataError::Read { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Objects as _;
    use std::fs;

    #[test]
    fn a_folder_is_pinned_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(folder.path().join("objects")).unwrap();
        let project = folder.path().join("project");
        fs::create_dir_all(project.join("raw/old")).unwrap();
        for name in ["a.csv", "b.csv", "notes.txt", "old/c.csv"] {
            fs::write(project.join("raw").join(name), name).unwrap();
        }
        let wanted = Wanted {
            uri: "raw/".to_owned(),
            include: vec!["**.csv".to_owned()],
            exclude: vec!["old/**".to_owned()],
        };
        let looked = pin(&wanted, &project, Keep::Nothing).unwrap();
        assert!(!objects.has(&looked.artifact.digest), "looking keeps nothing");
        let pinned = pin(&wanted, &project, Keep::Content(&objects)).unwrap();
        assert_eq!(pinned.listing.keys().collect::<Vec<_>>(), ["a.csv", "b.csv"]);
        assert_eq!(looked, pinned);
        fs::write(project.join("raw/a.csv"), "changed").unwrap();
        fs::rename(project.join("raw/b.csv"), project.join("raw/d.csv")).unwrap();
        let later = pin(&wanted, &project, Keep::Content(&objects)).unwrap();
        assert_eq!(later.against(&pinned.listing), [vec!["d.csv"], vec!["b.csv"], vec!["a.csv"]]);
        assert_eq!(later.since(&pinned.artifact.digest, &objects), later.against(&pinned.listing));
        assert_eq!(later.since("", &objects)[0], ["a.csv", "d.csv"], "against nothing all is new");
        let to = folder.path().join("to");
        objects.fetch(&pinned.artifact, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a.csv")).unwrap(), "a.csv", "as it was when pinned");
    }

    #[test]
    fn what_cannot_be_pinned_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(folder.path().join("objects")).unwrap();
        let said = |uri: &str, include: &[&str]| {
            let include = include.iter().map(|s| (*s).to_owned()).collect();
            let wanted = Wanted { uri: uri.to_owned(), include, exclude: Vec::new() };
            pin(&wanted, folder.path(), Keep::Content(&objects)).unwrap_err().to_string()
        };
        assert!(said("s3://lake/x", &[]).contains("--data NAME=PATH"));
        assert!(said("nothing", &[]).starts_with("cannot read"));
        assert!(said(".", &["*.csv"]).contains("`include`"));
    }
}
