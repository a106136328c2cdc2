//! A hub's objects as one attempt sees them.

use super::access::{Access, Digest, Names, Unread, digest_of, lists_of};
use crate::store::{EntryKind, FileObjects, Manifest, Objects as _, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_flow::job::{ArtifactRef, JobSpec};

/// What attempts may have, shared by their connections.
pub(super) type SharedAccess = Arc<Mutex<Access>>;

/// Objects in a folder, and what their lists name.
pub(super) struct Shelf {
    pub(super) objects: Arc<FileObjects>,
    /// Attempts that are given the same list share it.
    lists: Mutex<BTreeMap<Digest, Weak<[Digest]>>>,
}

impl Shelf {
    /// Opens the folder.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self { objects: Arc::new(FileObjects::open(folder)?), lists: Mutex::default() })
    }

    /// Tells whether an attempt may have an object. One that it may not have is for it not there.
    pub(super) fn may_have(&self, access: &SharedAccess, digest: &str) -> bool {
        let Some(digest) = digest_of(digest) else { return false };
        if locked(access).may_have(&digest) {
            return true;
        }
        self.read_up(access);
        locked(access).may_have(&digest)
    }

    /// Tells whether an attempt has all of what it says it made.
    pub(super) fn may_hand_on(&self, access: &SharedAccess, artifact: &ArtifactRef) -> bool {
        let Some(list) = digest_of(&artifact.digest) else { return false };
        let Some(names) = self.names(&list) else { return false };
        if locked(access).may_hand_on(&list, &names) {
            return true;
        }
        self.read_up(access);
        locked(access).may_hand_on(&list, &names)
    }

    /// Reads what was given to an attempt and was not looked at before.
    fn read_up(&self, access: &SharedAccess) {
        // A spec names lists: they are unread once it is read.
        for _ in 0..2 {
            let unread = locked(access).unread();
            for what in unread {
                match what {
                    Unread::Spec(digest) => {
                        let spec: Option<JobSpec> =
                            self.bytes(&digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
                        if let Some(spec) = spec {
                            locked(access).read_spec(lists_of(&spec));
                        }
                    }
                    Unread::List(digest) => {
                        if let Some(names) = self.names(&digest) {
                            locked(access).read_list(digest, names);
                        }
                    }
                }
            }
        }
    }

    /// What a list names; `None` where there is no such list.
    fn names(&self, list: &Digest) -> Option<Names> {
        if let Some(known) = locked(&self.lists).get(list).and_then(Weak::upgrade) {
            return Some(known);
        }
        let manifest: Manifest = serde_json::from_slice(&self.bytes(list)?).ok()?;
        let named = manifest.entries.iter().map(|entry| &entry.kind).flat_map(EntryKind::objects);
        let named: BTreeSet<Digest> = named.map(|digest| digest_of(digest)).collect::<Option<_>>()?;
        let names: Names = named.into_iter().collect();
        let mut lists = locked(&self.lists);
        lists.retain(|_, names| names.strong_count() > 0);
        lists.insert(*list, Arc::downgrade(&names));
        Some(names)
    }

    fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.objects.get(blake3::Hash::from_bytes(*digest).to_hex().as_str()).ok()
    }
}

fn locked<T: ?Sized>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
