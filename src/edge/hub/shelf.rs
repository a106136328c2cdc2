//! A hub's objects as one attempt sees them: in a folder, or in an object store.
//!
//! Errors are the store's: it does not answer, and is asked again. What is not there is no error.

use super::access::{Access, Digest, Names, Unread, digest_of, lists_of};
use super::bucket::Bucket;
use crate::store::{EntryKind, FileObjects, Incoming, Manifest, Objects as _, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_flow::job::{ArtifactRef, JobSpec};

/// What attempts may have, shared by their connections.
pub(super) type SharedAccess = Arc<Mutex<Access>>;

/// What comes of asking the store, if it answers.
pub(super) type Answered<T> = object_store::Result<T>;

/// Objects, and what their lists name.
pub(super) struct Shelf {
    /// All objects, or where those are that are on their way to the store.
    pub(super) objects: Arc<FileObjects>,
    pub(super) bucket: Option<Bucket>,
    /// Where notes are, without a bucket.
    notes: PathBuf,
    /// Attempts that are given the same list share it.
    lists: Mutex<BTreeMap<Digest, Weak<[Digest]>>>,
}

impl Shelf {
    /// Opens the folder.
    pub(super) fn open(folder: &Path, bucket: Option<Bucket>) -> Result<Self, StoreError> {
        let objects = Arc::new(FileObjects::open(folder.join("objects"))?);
        Ok(Self { objects, bucket, notes: folder.join("claims"), lists: Mutex::default() })
    }

    /// Tells whether an object is there, and keeps collections away from it for a while.
    pub(super) async fn has(&self, digest: &str) -> Answered<bool> {
        match (&self.bucket, digest_of(digest)) {
            (Some(bucket), Some(digest)) => bucket.has(&digest).await,
            (None, Some(_)) => Ok(self.objects.keeps(digest)),
            (_, None) => Ok(false),
        }
    }

    /// Tells whether a list and all that it names are there, and keeps collections away from them for a while.
    pub(super) async fn has_all(&self, list: &Digest) -> Answered<bool> {
        if !self.has(&hex(list)).await? {
            return Ok(false);
        }
        let Some(names) = self.names(list).await? else { return Ok(false) };
        for name in names.iter() {
            if !self.has(&hex(name)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All notes.
    pub(super) async fn notes(&self) -> Answered<Vec<String>> {
        if let Some(bucket) = &self.bucket {
            return bucket.notes().await;
        }
        let entries = match fs::read_dir(&self.notes) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(of_folder(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(of_folder)?.path();
            // One that is being written was left there by a kill.
            if path.extension().is_none() {
                found.push(fs::read_to_string(path).map_err(of_folder)?);
            }
        }
        Ok(found)
    }

    /// Keeps a note in place of the last one of that name; `None`: takes it away.
    pub(super) async fn note(&self, name: &str, text: Option<String>) -> Answered<()> {
        if let Some(bucket) = &self.bucket {
            return bucket.note(name, text).await;
        }
        let place = self.notes.join(name);
        let Some(text) = text else {
            return match fs::remove_file(place) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(of_folder(error)),
                _ => Ok(()),
            };
        };
        // Written beside and moved over, so that it is there whole or as it was.
        let new = place.with_extension("new");
        let written = fs::create_dir_all(&self.notes).and_then(|()| fs::write(&new, text));
        written.and_then(|()| fs::rename(new, place)).map_err(of_folder)
    }

    /// Keeps an object that came whole; one that is not what its digest says is refused.
    pub(super) async fn keep(&self, digest: &str) -> Answered<Result<(), StoreError>> {
        let (Some(bucket), Some(known)) = (&self.bucket, digest_of(digest)) else { return Ok(Ok(())) };
        let bytes = match self.objects.get(digest) {
            Ok(bytes) => bytes,
            // Another client has put the same.
            Err(StoreError::Missing(_)) if bucket.has(&known).await? => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        bucket.put(&known, &bytes).await?;
        self.objects.discard(digest);
        Ok(Ok(()))
    }

    /// Takes an object into the folder.
    pub(super) fn take(&self, incoming: Incoming, digest: &str) -> Result<(), StoreError> {
        incoming.finish(&self.objects, digest)
    }

    /// Tells whether an attempt may have an object. One that it may not have is for it not there.
    pub(super) async fn may_have(&self, access: &SharedAccess, digest: &str) -> Answered<bool> {
        let Some(digest) = digest_of(digest) else { return Ok(false) };
        if locked(access).may_have(&digest) {
            return Ok(true);
        }
        self.read_up(access).await?;
        Ok(locked(access).may_have(&digest))
    }

    /// Tells whether an attempt has all of what it says it made.
    pub(super) async fn may_hand_on(&self, access: &SharedAccess, artifact: &ArtifactRef) -> Answered<bool> {
        let Some(list) = digest_of(&artifact.digest) else { return Ok(false) };
        // What is not its own is not even looked at.
        if !self.may_have(access, &artifact.digest).await? {
            return Ok(false);
        }
        let Some(names) = self.names(&list).await? else { return Ok(false) };
        if locked(access).may_hand_on(&list, &names) {
            return Ok(true);
        }
        self.read_up(access).await?;
        Ok(locked(access).may_hand_on(&list, &names))
    }

    /// Reads what was given to an attempt and was not looked at before.
    pub(super) async fn read_up(&self, access: &SharedAccess) -> Answered<()> {
        // A spec names lists: they are unread once it is read.
        for _ in 0..2 {
            let unread = locked(access).unread();
            for what in unread {
                match what {
                    Unread::Spec(digest) => {
                        let bytes = self.bytes(&digest).await?;
                        let spec = bytes.and_then(|bytes| serde_json::from_slice::<JobSpec>(&bytes).ok());
                        if let Some(spec) = spec {
                            locked(access).read_spec(lists_of(&spec));
                        }
                    }
                    Unread::List(digest) => {
                        if let Some(names) = self.names(&digest).await? {
                            locked(access).read_list(digest, names);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What a list names; `None` where there is no such list.
    pub(super) async fn names(&self, list: &Digest) -> Answered<Option<Names>> {
        if let Some(known) = locked(&self.lists).get(list).and_then(Weak::upgrade) {
            return Ok(Some(known));
        }
        let Some(bytes) = self.bytes(list).await? else { return Ok(None) };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { return Ok(None) };
        let named = manifest.entries.iter().map(|entry| &entry.kind).flat_map(EntryKind::objects);
        let named: Option<BTreeSet<Digest>> = named.map(|digest| digest_of(digest)).collect();
        let Some(named) = named else { return Ok(None) };
        let names: Names = named.into_iter().collect();
        let mut lists = locked(&self.lists);
        lists.retain(|_, names| names.strong_count() > 0);
        lists.insert(*list, Arc::downgrade(&names));
        Ok(Some(names))
    }

    async fn bytes(&self, digest: &Digest) -> Answered<Option<Vec<u8>>> {
        match &self.bucket {
            Some(bucket) => bucket.read(digest).await,
            None => Ok(self.objects.get(&hex(digest)).ok()),
        }
    }
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

fn of_folder(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "the hub's folder", source: Box::new(error) }
}

pub(super) fn locked<T: ?Sized>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
