//! Objects in pieces: read and written without all of one in memory.

use super::StoreError;
use super::objects::{CHUNK, FileObjects, io, move_to};
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The largest object, in bytes: a chunk of a file, or the list of a folder.
pub const OBJECT_LIMIT: u64 = CHUNK as u64;

/// An object on its way into the store. Dropped before it is whole, nothing of it stays.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    size: u64,
}

impl Incoming {
    /// Takes the next bytes; an object of more than [`OBJECT_LIMIT`] bytes is refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        if self.size > OBJECT_LIMIT {
            let reason = format!("an object has at most {OBJECT_LIMIT} bytes");
            return Err(StoreError::Path { path: "what is sent".to_owned(), reason });
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|e| io("writing", &self.path, e))
    }

    /// Keeps it under `digest`, if that is what it is.
    pub fn finish(self, objects: &FileObjects, digest: &str) -> Result<(), StoreError> {
        if self.hasher.finalize().to_hex().as_str() != digest {
            return Err(StoreError::Damaged(digest.to_owned()));
        }
        let place = objects.place(digest)?;
        move_to(&self.path, &place).map_err(|e| io("writing", &place, e))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Once it is kept there is nothing here any more.
        let _ = fs::remove_file(&self.path);
    }
}

impl FileObjects {
    /// Begins an object whose bytes come in pieces.
    pub fn begin(&self) -> Result<Incoming, StoreError> {
        let path = self.unfinished();
        let file = File::create(&path).map_err(|e| io("writing", &path, e))?;
        Ok(Incoming { path, file, hasher: blake3::Hasher::new(), size: 0 })
    }

    /// Takes an object away that is not what its name says.
    pub(crate) fn discard(&self, digest: &str) {
        let _ = self.place(digest).map(fs::remove_file);
    }

    /// How many bytes are here, in objects that are whole and in those that are not yet; for a folder of few objects.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries(self.folder()).flat_map(|folder| entries(&folder.path()));
        files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// Opens an object, to be read in pieces, and tells its size; its content is not looked at.
    pub fn open_object(&self, digest: &str) -> Result<(File, u64), StoreError> {
        let place = self.place(digest)?;
        let wrong = |e: std::io::Error| match e.kind() {
            ErrorKind::NotFound => StoreError::Missing(digest.to_owned()),
            _ => io("reading", &place, e),
        };
        let file = File::open(&place).map_err(wrong)?;
        let size = file.metadata().map_err(wrong)?.len();
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Objects as _;
    use super::*;
    use std::io::Read as _;

    #[test]
    fn pieces_become_an_object_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(folder.path()).unwrap();
        let digest = blake3::hash(b"two pieces").to_hex().to_string();
        let made = |pieces: &[&[u8]]| {
            let mut incoming = objects.begin().unwrap();
            pieces.iter().for_each(|piece| incoming.write(piece).unwrap());
            incoming
        };
        let other = made(&[b"two"]).finish(&objects, &digest);
        assert!(matches!(other, Err(StoreError::Damaged(_))), "{other:?}");
        drop(made(&[b"two ", b"pieces"]));
        assert!(!objects.has(&digest));
        made(&[b"two ", b"pieces"]).finish(&objects, &digest).unwrap();
        assert_eq!(objects.get(&digest).unwrap(), b"two pieces");
        let (mut file, size) = objects.open_object(&digest).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), ("two pieces", 10));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0, "nothing unfinished stays");
    }

    #[test]
    fn an_object_has_a_largest_size() {
        let folder = tempfile::tempdir().unwrap();
        let objects = FileObjects::open(folder.path()).unwrap();
        let mut incoming = objects.begin().unwrap();
        let piece = vec![0; CHUNK];
        incoming.write(&piece).unwrap();
        assert!(incoming.write(b"x").is_err());
    }
}
