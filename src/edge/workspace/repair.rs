//! A folder made to hold exactly a tree again, whatever a job did to it.
//!
//! Nothing is ever written through a link, and no file is changed in place: what is not surely as
//! it should be is removed and laid out anew.

use crate::git::{Stamp, now};
use crate::store::{
    Entry, EntryKind, FileObjects, StoreError, io, make_folders, path_text, refused, text_path,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What a tree wants, made for looking up.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    entries: Vec<(PathBuf, EntryKind)>,
    by_path: HashMap<PathBuf, usize>,
    folders: HashSet<PathBuf>,
}

impl Wanted {
    /// Takes a manifest's entries; one that leads out of the tree is refused.
    pub fn new(entries: Vec<Entry>) -> Result<Self, StoreError> {
        let mut wanted = Self::default();
        for entry in entries {
            let path = text_path(&entry.path);
            if !crate::store::stays_below(&path) {
                return Err(refused(&path, "leads out of the tree"));
            }
            let above = if entry.kind == EntryKind::Folder { Some(path.as_path()) } else { path.parent() };
            for folder in above.into_iter().flat_map(Path::ancestors) {
                if !wanted.folders.insert(folder.to_owned()) {
                    break;
                }
            }
            wanted.by_path.insert(path.clone(), wanted.entries.len());
            wanted.entries.push((path, entry.kind));
        }
        Ok(wanted)
    }

    fn get(&self, path: &Path) -> Option<(usize, &EntryKind)> {
        let place = *self.by_path.get(path)?;
        self.entries.get(place).map(|(_, kind)| (place, kind))
    }
}

/// What the files of a folder looked like when they surely had their content.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    files: HashMap<String, Remembered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    digest: String,
    /// When the stamp was taken.
    read: i128,
}

/// Makes `root` hold the tree; returns whether the memory changed.
pub(super) fn repair(
    root: &Path,
    wanted: &Wanted,
    memory: &mut Memory,
    objects: &FileObjects,
) -> Result<bool, StoreError> {
    match fs::symlink_metadata(root) {
        Ok(meta) if meta.is_dir() => open(root, meta.permissions().mode())?,
        Ok(_) => fs::remove_file(root).map_err(|e| io("removing", root, e))?,
        Err(_) => {}
    }
    fs::create_dir_all(root).map_err(|e| io("making", root, e))?;
    let mut repair =
        Repair { root, wanted, memory, right: vec![false; wanted.entries.len()], changed: false };
    repair.folder(Path::new(""))?;
    repair.missing(objects)?;
    repair.forget();
    Ok(repair.changed)
}

struct Repair<'a> {
    root: &'a Path,
    wanted: &'a Wanted,
    memory: &'a mut Memory,
    /// For each entry, whether it is there as it should be.
    right: Vec<bool>,
    changed: bool,
}

impl Repair<'_> {
    fn folder(&mut self, below: &Path) -> Result<(), StoreError> {
        let folder = self.root.join(below);
        for entry in fs::read_dir(&folder).map_err(|e| io("reading", &folder, e))? {
            let entry = entry.map_err(|e| io("reading", &folder, e))?;
            let (whole, path) = (entry.path(), below.join(entry.file_name()));
            let meta = entry.metadata().map_err(|e| io("reading", &whole, e))?;
            if meta.is_dir() {
                if self.wanted.folders.contains(&path) {
                    open(&whole, meta.permissions().mode())?;
                    self.mark_folder(&path);
                    self.folder(&path)?;
                } else {
                    remove_folder(&whole)?;
                }
                continue;
            }
            match self.wanted.get(&path) {
                Some((place, kind)) if self.is_right(&whole, &path, &meta, kind) => {
                    if let Some(right) = self.right.get_mut(place) {
                        *right = true;
                    }
                }
                _ => fs::remove_file(&whole).map_err(|e| io("removing", &whole, e))?,
            }
        }
        Ok(())
    }

    /// Forgets files of other trees, so that the memory does not grow with every commit.
    fn forget(&mut self) {
        let known = self.memory.files.len();
        if known > self.wanted.by_path.len() {
            let wanted = &self.wanted.by_path;
            self.memory.files.retain(|path, _| wanted.contains_key(&text_path(path)));
            self.changed |= self.memory.files.len() != known;
        }
    }

    fn mark_folder(&mut self, path: &Path) {
        if let Some((place, EntryKind::Folder)) = self.wanted.get(path)
            && let Some(right) = self.right.get_mut(place)
        {
            *right = true;
        }
    }

    fn is_right(&mut self, whole: &Path, path: &Path, meta: &fs::Metadata, kind: &EntryKind) -> bool {
        match kind {
            EntryKind::Link { target } => {
                meta.is_symlink() && fs::read_link(whole).is_ok_and(|t| path_text(&t) == *target)
            }
            EntryKind::File { digest, .. } if meta.is_file() => self.is_same(whole, path, meta, digest),
            _ => false,
        }
    }

    /// Tells whether a file has its content. One whose stamp is as it was, but so young that it may
    /// have been changed without a trace, is read once more.
    fn is_same(&mut self, whole: &Path, path: &Path, meta: &fs::Metadata, digest: &str) -> bool {
        let (stamp, read) = (Stamp::of(meta), now());
        let Some(known) = self.memory.files.get_mut(&path_text(path)) else { return false };
        if known.stamp != stamp || known.digest != digest {
            return false;
        }
        if known.stamp.settled(known.read) {
            return true;
        }
        let mut hasher = blake3::Hasher::new();
        let same = fs::File::open(whole).and_then(|mut f| std::io::copy(&mut f, &mut hasher)).is_ok()
            && hasher.finalize().to_hex().as_str() == digest;
        known.read = read;
        self.changed = true;
        same
    }

    fn missing(&mut self, objects: &FileObjects) -> Result<(), StoreError> {
        let mut made = PathBuf::new();
        for ((path, kind), right) in self.wanted.entries.iter().zip(&self.right) {
            if *right {
                continue;
            }
            let parent = path.parent().unwrap_or(Path::new(""));
            if parent != made {
                make_folders(self.root, parent)?;
                parent.clone_into(&mut made);
            }
            let whole = self.root.join(path);
            objects.lay_out(kind, &whole)?;
            if let EntryKind::File { digest, .. } = kind {
                let meta = fs::symlink_metadata(&whole).map_err(|e| io("reading", &whole, e))?;
                let remembered = Remembered { stamp: Stamp::of(&meta), digest: digest.clone(), read: now() };
                self.memory.files.insert(path_text(path), remembered);
                self.changed = true;
            }
        }
        Ok(())
    }
}

/// Gives the owner back what a job may have taken from a folder's rights.
pub(super) fn open(folder: &Path, mode: u32) -> Result<(), StoreError> {
    if mode & 0o7777 == 0o755 {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(|e| io("opening", folder, e))
}

/// Removes a folder and all in it; read-only ones are opened first, links are not followed.
pub(super) fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    if fs::remove_dir_all(folder).is_ok() {
        return Ok(());
    }
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&folder).map_err(|e| io("reading", &folder, e))?;
        let folders = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        open.extend(folders.map(|e| e.path()));
    }
    fs::remove_dir_all(folder).map_err(|e| io("removing", folder, e))
}
