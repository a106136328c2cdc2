//! What an artifact becomes below a person's folder: its files by path, with nothing that leads out of it.
//!
//! Not here: writing them (`delivery`).

use super::objects::{CHUNK, refused};
use super::{EntryKind, Manifest, StoreError, link_stays_below, stays_below, text_path};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Why an artifact is not laid into a folder.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Files are there that would be replaced.
    #[error("{} is there already{}", first.display(), others_of(*others))]
    There {
        /// One of them.
        first: PathBuf,
        /// How many more.
        others: usize,
    },
    /// Something is there that is never replaced.
    #[error("{} is {what}", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What it is, and what it would have to be.
        what: &'static str,
    },
    /// The content cannot be had, or not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn others_of(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => ", and one more".to_owned(),
        n => format!(", and {n} more"),
    }
}

/// An artifact as it is to lie in a folder.
#[derive(Debug)]
pub struct Parcel {
    below: PathBuf,
    entries: Vec<(PathBuf, EntryKind)>,
}

impl Parcel {
    /// Makes it of a list that lies under `digest`; it goes to `below` in the folder, its only file as `file` where the list
    /// has no name for it. A list that would lead out of `below` is refused.
    pub fn new(digest: &str, list: Manifest, below: PathBuf, file: &str) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged(digest.to_owned());
        let mut entries = Vec::with_capacity(list.entries.len());
        let mut seen = BTreeSet::new();
        let tree = list.tree;
        if !stays_below(&below) {
            return Err(refused(&below, "a folder that is not below: nothing is written"));
        }
        if !tree && !matches!(list.entries.as_slice(), [one] if matches!(one.kind, EntryKind::File { .. })) {
            return Err(damaged());
        }
        for entry in list.entries {
            let path = if tree { text_path(&entry.path) } else { PathBuf::from(file) };
            let outside =
                || refused(&path, "a path that leads out of the artifact's folder: nothing of it is written");
            if path.as_os_str().is_empty() || !stays_below(&path) {
                return Err(outside());
            }
            if let EntryKind::Link { target } = &entry.kind
                && !link_stays_below(&path, &text_path(target))
            {
                return Err(refused(&path, "a link out of the artifact's folder: nothing of it is written"));
            }
            if !seen.insert(path.clone()) {
                return Err(damaged());
            }
            entries.push((path, entry.kind));
        }
        Ok(Self { below, entries })
    }

    /// Where it goes in the folder.
    pub fn below(&self) -> &Path {
        &self.below
    }

    /// Its files, links and empty folders.
    pub(super) fn entries(&self) -> &[(PathBuf, EntryKind)] {
        &self.entries
    }

    /// The objects of its files in order, with the most bytes that each may have.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&Path, &String, u64)> {
        self.entries.iter().flat_map(|(path, kind)| {
            let size = match kind {
                EntryKind::File { size, .. } => (*size).min(CHUNK as u64),
                EntryKind::Link { .. } | EntryKind::Folder => 0,
            };
            kind.objects().iter().map(move |digest| (path.as_path(), digest, size))
        })
    }

    /// Refuses what something in the folder is in the way of.
    pub(super) fn check(&self, folder: &Path, replace: bool) -> Result<(), DeliveryError> {
        let (mut first, mut there) = (None, 0_usize);
        let mut known = BTreeSet::new();
        for (path, kind) in &self.entries {
            let below = self.below.join(path);
            let mut at = folder.to_owned();
            let folders =
                if matches!(kind, EntryKind::Folder) { Some(below.as_path()) } else { below.parent() };
            for part in folders.unwrap_or(Path::new("")).components() {
                at.push(part);
                if !known.contains(&at) {
                    is_folder(&at)?;
                    known.insert(at.clone());
                }
            }
            let to = folder.join(&below);
            match fs::symlink_metadata(&to) {
                Ok(meta) if meta.is_dir() && !matches!(kind, EntryKind::Folder) => {
                    return Err(DeliveryError::InTheWay {
                        path: to,
                        what: "a folder, where a file is to go",
                    });
                }
                Ok(meta) if !meta.is_dir() => {
                    there += 1;
                    first.get_or_insert(to);
                }
                _ => {}
            }
        }
        match first {
            Some(first) if !replace => Err(DeliveryError::There { first, others: there - 1 }),
            _ => Ok(()),
        }
    }
}

/// Refuses what is no folder: a link is not followed.
fn is_folder(path: &Path) -> Result<(), DeliveryError> {
    let what = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => "a link, where a folder is needed: it is not followed",
        Ok(meta) if !meta.is_dir() => "a file, where a folder is needed",
        _ => return Ok(()),
    };
    Err(DeliveryError::InTheWay { path: path.to_owned(), what })
}
