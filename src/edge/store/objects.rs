//! Content by digest, as files below one folder.
//!
//! Not here: what a kept folder consists of (`manifest`), which objects are still needed.

use super::claim::{refresh, young};
use super::manifest::{Entry, EntryKind, Manifest, path_text, stays_below, text_path};
use super::take::NO_FILE;
use super::{Objects, StoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidegate_flow::job::ArtifactRef;

/// Bytes of a chunk: bigger files are kept in pieces, so that they can be shared and resumed.
pub(super) const CHUNK: usize = 64 << 20;
/// Smaller files are written sooner than shared.
const WORTH_SHARING: usize = 16 << 10;

/// Objects as files: `ab/cdef…` holds the bytes whose blake3 is `abcdef…`.
#[derive(Debug)]
pub struct FileObjects {
    folder: PathBuf,
    /// Distinguishes this process's unfinished files.
    next: AtomicU64,
    /// Blocks cannot be shared here.
    no_sharing: AtomicBool,
}

impl FileObjects {
    /// Opens the folder and makes it if it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        fs::create_dir_all(folder.join("new")).map_err(|e| io("making", &folder, e))?;
        Ok(Self { folder, next: AtomicU64::new(0), no_sharing: AtomicBool::new(false) })
    }

    /// Where the objects are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn place(&self, digest: &str) -> Result<PathBuf, StoreError> {
        let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        match digest.split_at_checked(2) {
            Some((first, rest)) if hex => Ok(self.folder.join(first).join(rest)),
            _ => Err(StoreError::Missing(digest.to_owned())),
        }
    }

    /// Tells whether an object is there; its content is not looked at.
    pub fn has(&self, digest: &str) -> bool {
        self.place(digest).is_ok_and(|place| place.exists())
    }

    /// Keeps bytes whose digest is known.
    fn put_as(&self, digest: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let place = self.place(digest)?;
        // One of another length was cut short by a power cut: it is written again.
        if fs::metadata(&place).is_ok_and(|m| m.len() == bytes.len() as u64 && self.stays(&place, &m)) {
            return Ok(());
        }
        let new = self.unfinished();
        let written = File::create(&new).and_then(|mut f| f.write_all(bytes));
        written.and_then(|()| move_to(&new, &place)).map_err(|e| {
            let _ = fs::remove_file(&new);
            io("writing", &place, e)
        })
    }

    /// Where an object is written that is not whole yet.
    pub(super) fn unfinished(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join("new").join(format!("{}-{number}", std::process::id()))
    }

    /// Tells whether an object is there, and sees to it that no collection takes it away before
    /// somebody can have logged it.
    pub(crate) fn keeps(&self, digest: &str) -> bool {
        let Ok(place) = self.place(digest) else { return false };
        fs::metadata(&place).is_ok_and(|meta| self.stays(&place, &meta))
    }

    fn stays(&self, place: &Path, meta: &fs::Metadata) -> bool {
        young(meta) || refresh(&self.folder, place)
    }

    /// Like [`Objects::claim`] for what a manifest lists.
    pub fn claim_content(&self, kind: &EntryKind) -> bool {
        kind.objects().iter().all(|digest| self.keeps(digest))
    }

    /// Keeps a file's content.
    pub fn put_file(&self, path: &Path) -> Result<EntryKind, StoreError> {
        let file = File::open(path).map_err(|e| io("reading", path, e))?;
        self.put_opened(file, path)
    }

    /// Keeps what an opened file holds; `path` is for people.
    pub(super) fn put_opened(&self, file: File, path: &Path) -> Result<EntryKind, StoreError> {
        Self::read_file(file, path, |digest, bytes| self.put_as(digest, bytes))
    }

    /// Tells what keeping a file would give, and keeps nothing.
    pub fn describe_file(path: &Path) -> Result<EntryKind, StoreError> {
        let file = File::open(path).map_err(|e| io("reading", path, e))?;
        Self::read_file(file, path, |_, _| Ok(()))
    }

    fn read_file(
        mut file: File,
        path: &Path,
        keep: impl Fn(&str, &[u8]) -> Result<(), StoreError>,
    ) -> Result<EntryKind, StoreError> {
        let meta = file.metadata().map_err(|e| io("reading", path, e))?;
        let executable = meta.permissions().mode() & 0o111 != 0;
        let mut whole = blake3::Hasher::new();
        let (mut chunks, mut size) = (Vec::new(), 0);
        loop {
            let expected = usize::try_from(meta.len().saturating_sub(size)).unwrap_or(CHUNK).min(CHUNK);
            let mut bytes = Vec::with_capacity(expected + 1);
            let read = (&mut file).take(CHUNK as u64).read_to_end(&mut bytes);
            let read = read.map_err(|e| io("reading", path, e))?;
            if read == 0 && size > 0 {
                break;
            }
            size += read as u64;
            whole.update(&bytes);
            let digest = blake3::hash(&bytes).to_hex().to_string();
            keep(&digest, &bytes)?;
            chunks.push(digest);
            if read < CHUNK {
                break;
            }
        }
        let digest = whole.finalize().to_hex().to_string();
        if chunks.len() == 1 {
            chunks.clear();
        }
        Ok(EntryKind::File { executable, size, digest, chunks })
    }

    /// Keeps a list and tells what it amounts to.
    pub fn put_manifest(&self, manifest: Manifest) -> Result<ArtifactRef, StoreError> {
        let (artifact, bytes) = Self::describe_manifest(manifest)?;
        self.put_as(&artifact.digest, &bytes)?;
        Ok(artifact)
    }

    /// Tells what a list amounts to, with its stored form, and keeps nothing.
    pub fn describe_manifest(mut manifest: Manifest) -> Result<(ArtifactRef, Vec<u8>), StoreError> {
        manifest.version = Manifest::VERSION;
        manifest.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let sizes = manifest.entries.iter().filter_map(|e| match &e.kind {
            EntryKind::File { size, .. } => Some(*size),
            _ => None,
        });
        let (files, size) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size));
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|e| refused(Path::new("a list of files"), &e.to_string()))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok((ArtifactRef { digest, size, files, tree: manifest.tree, name: String::new() }, bytes))
    }

    /// Returns a kept list.
    pub fn manifest(&self, digest: &str) -> Result<Manifest, StoreError> {
        Manifest::read(digest, &self.get(digest)?)
    }

    /// Lays one entry out at a path where nothing is yet.
    pub fn lay_out(&self, kind: &EntryKind, to: &Path) -> Result<(), StoreError> {
        match kind {
            EntryKind::Folder => fs::create_dir_all(to).map_err(|e| io("making", to, e)),
            EntryKind::Link { target } => {
                std::os::unix::fs::symlink(text_path(target), to).map_err(|e| io("linking", to, e))
            }
            EntryKind::File { executable, digest, chunks, .. } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(to)
                    .map_err(|e| io("writing", to, e))?;
                let parts = if chunks.is_empty() { std::slice::from_ref(digest) } else { chunks };
                for part in parts {
                    let bytes = self.get(part)?;
                    if !(parts.len() == 1 && self.share(part, bytes.len(), &file)) {
                        file.write_all(&bytes).map_err(|e| io("writing", to, e))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Makes a new file share an object's blocks, where the file system can; the object has just been
    /// read, so its content is known to be right. Tells whether it is done.
    fn share(&self, digest: &str, size: usize, to: &File) -> bool {
        if size < WORTH_SHARING || self.no_sharing.load(Ordering::Relaxed) {
            return false;
        }
        let from = self.place(digest).ok().and_then(|path| File::open(path).ok());
        let Some(from) = from else { return false };
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => true,
            Err(_) => {
                // This file system, or these two, cannot: nobody needs to ask again.
                self.no_sharing.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    /// Reads one file of a kept folder; `None` where the folder has no such file.
    pub fn file_of(&self, tree: &str, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let path = path_text(path);
        let manifest = self.manifest(tree)?;
        let Some(entry) = manifest.entries.iter().find(|entry| entry.path == path) else { return Ok(None) };
        let mut bytes = Vec::new();
        match &entry.kind {
            EntryKind::File { .. } => {
                for object in entry.kind.objects() {
                    bytes.append(&mut self.get(object)?);
                }
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }
}

/// Moves a finished file to its place.
pub(super) fn move_to(new: &Path, place: &Path) -> std::io::Result<()> {
    match fs::rename(new, place) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(new, place)
        }
        other => other,
    }
}

impl Objects for FileObjects {
    fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = blake3::hash(bytes).to_hex().to_string();
        self.put_as(&digest, bytes)?;
        Ok(digest)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let place = self.place(digest)?;
        let bytes = fs::read(&place).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StoreError::Missing(digest.to_owned()),
            _ => io("reading", &place, e),
        })?;
        if blake3::hash(&bytes).to_hex().as_str() != digest {
            return Err(StoreError::Damaged(digest.to_owned()));
        }
        Ok(bytes)
    }

    fn claim(&self, artifact: &ArtifactRef) -> Result<bool, StoreError> {
        let manifest = match self.manifest(&artifact.digest) {
            Ok(manifest) => manifest,
            Err(StoreError::Missing(_) | StoreError::Damaged(_)) => return Ok(false),
            Err(other) => return Err(other),
        };
        Ok(self.keeps(&artifact.digest)
            && manifest.entries.iter().all(|entry| self.claim_content(&entry.kind)))
    }

    fn put_path(&self, path: &Path) -> Result<ArtifactRef, StoreError> {
        let meta = fs::metadata(path).map_err(|e| io("reading", path, e))?;
        let mut manifest = Manifest { tree: meta.is_dir(), ..Manifest::default() };
        if meta.is_dir() {
            self.walk(path, &mut manifest.entries)?;
        } else if meta.is_file() {
            manifest.entries.push(Entry { path: String::new(), kind: self.put_file(path)? });
        } else {
            return Err(refused(path, NO_FILE));
        }
        self.put_manifest(manifest)
    }

    fn fetch(&self, artifact: &ArtifactRef, to: &Path) -> Result<(), StoreError> {
        let manifest = self.manifest(&artifact.digest)?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| io("making", parent, e))?;
        }
        if !manifest.tree {
            let damaged = || StoreError::Damaged(artifact.digest.clone());
            return self.lay_out(&manifest.entries.first().ok_or_else(damaged)?.kind, to);
        }
        fs::create_dir(to).map_err(|e| io("making", to, e))?;
        let mut made = PathBuf::new();
        for entry in &manifest.entries {
            let below = text_path(&entry.path);
            if !stays_below(&below) {
                return Err(StoreError::Damaged(artifact.digest.clone()));
            }
            let parent = below.parent().unwrap_or(Path::new(""));
            if parent != made {
                // Links are laid out too: a folder is never made through one.
                make_folders(to, parent)?;
                parent.clone_into(&mut made);
            }
            self.lay_out(&entry.kind, &to.join(&below))?;
        }
        Ok(())
    }
}

/// Makes the folders of a path below a folder; a link on the way is refused.
pub(crate) fn make_folders(root: &Path, below: &Path) -> Result<(), StoreError> {
    let mut at = root.to_owned();
    for part in below.components() {
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&at).is_ok_and(|m| m.is_dir()) {
                    return Err(refused(&at, "not a folder, where a folder is needed"));
                }
            }
            Err(e) => return Err(io("making", &at, e)),
        }
    }
    Ok(())
}

pub(crate) fn refused(path: &Path, reason: &str) -> StoreError {
    StoreError::Path { path: path.display().to_string(), reason: reason.to_owned() }
}

/// Makes a system's error one of the store.
pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    let path = path.display().to_string();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full(path),
        _ => StoreError::Io { doing, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> (tempfile::TempDir, FileObjects) {
        let folder = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(folder.path().join("objects")).unwrap();
        (folder, objects)
    }

    #[test]
    fn a_folder_comes_back_as_it_was() {
        let (folder, objects) = objects();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("a/empty")).unwrap();
        fs::write(from.join("a/run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(from.join("a/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(from.join("new\nline é"), "").unwrap();
        std::os::unix::fs::symlink("a/run.sh", from.join("link")).unwrap();
        let artifact = objects.put_path(&from).unwrap();
        assert_eq!((artifact.files, artifact.size, artifact.tree), (2, 10, true));
        let to = folder.path().join("deep/to");
        objects.fetch(&artifact, &to).unwrap();
        assert_eq!(objects.put_path(&to).unwrap(), artifact);
        assert!(to.join("a/empty").is_dir());
        assert!(objects.fetch(&artifact, &to).is_err(), "something is there already");
    }

    #[test]
    fn a_file_of_several_chunks_comes_back() {
        let (folder, objects) = objects();
        let big = folder.path().join("big");
        File::create(&big).unwrap().set_len(CHUNK as u64 + 7).unwrap();
        let artifact = objects.put_path(&big).unwrap();
        objects.fetch(&artifact, &folder.path().join("again")).unwrap();
        assert_eq!(fs::metadata(folder.path().join("again")).unwrap().len(), CHUNK as u64 + 7);
    }

    #[test]
    fn keeping_a_big_file_goes_on_where_it_was_interrupted() {
        use std::os::unix::fs::MetadataExt as _;
        let (folder, objects) = objects();
        let big = folder.path().join("big");
        fs::write(&big, b"start").unwrap();
        File::options().write(true).open(&big).unwrap().set_len(CHUNK as u64 + 7).unwrap();
        let whole = objects.put_path(&big).unwrap();
        let EntryKind::File { chunks, .. } =
            &objects.manifest(&whole.digest).unwrap().entries[0].kind.clone()
        else {
            panic!("no file")
        };
        assert_eq!(chunks.len(), 2);
        let place = |digest: &str| objects.place(digest).unwrap();
        // Killed after the first chunk: half of the second was on its way.
        fs::remove_file(place(&whole.digest)).unwrap();
        fs::rename(place(&chunks[1]), folder.path().join("objects/new/1-0")).unwrap();
        let first = fs::metadata(place(&chunks[0])).unwrap().ino();
        assert_eq!(objects.put_path(&big).unwrap(), whole);
        assert_eq!(fs::metadata(place(&chunks[0])).unwrap().ino(), first, "it is not written again");
        // A power cut may leave a chunk short.
        File::options().write(true).open(place(&chunks[0])).unwrap().set_len(99).unwrap();
        assert!(matches!(objects.get(&chunks[0]), Err(StoreError::Damaged(_))));
        assert_eq!(objects.put_path(&big).unwrap(), whole);
        objects.fetch(&whole, &folder.path().join("again")).unwrap();
        assert_eq!(fs::read(folder.path().join("again")).unwrap()[..6], *b"start\0");
    }

    #[test]
    fn links_out_and_special_files_are_refused() {
        let (folder, objects) = objects();
        let from = folder.path().join("from");
        fs::create_dir(&from).unwrap();
        std::os::unix::fs::symlink("../secret", from.join("link")).unwrap();
        let message = objects.put_path(&from).unwrap_err().to_string();
        assert!(message.contains("outside of the folder"), "{message}");
    }

    #[test]
    fn damage_and_absence_are_told_apart() {
        let (_folder, objects) = objects();
        let digest = objects.put(b"content").unwrap();
        assert_eq!(objects.get(&digest).unwrap(), b"content");
        fs::write(objects.place(&digest).unwrap(), b"other").unwrap();
        assert!(matches!(objects.get(&digest), Err(StoreError::Damaged(_))));
        objects.put(b"content").unwrap();
        assert_eq!(objects.get(&digest).unwrap(), b"content");
        assert!(matches!(objects.get(&"0".repeat(64)), Err(StoreError::Missing(_))));
        assert!(matches!(objects.get("../../etc/passwd"), Err(StoreError::Missing(_))));
    }
}
