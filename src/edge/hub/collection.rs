//! Collection at a hub: objects go that no store relies on, no attempt may have, and nobody used lately.
//!
//! By itself every hour, and when an engine says what its store still needs. What is used while it goes on is safe:
//! whoever finds an object makes it young (`FileObjects`), or is seen by the bucket, before it is relied on.
//!
//! Not here: which lists stores rely on (`claims`), how files are removed (`store::collect`), objects of a bucket (`bucket`).

use super::access::{Digest, digest_of};
use super::ledger::LIFE;
use super::outgoing::Frames;
use super::server::Hub;
use super::shelf::{Answered, locked};
use crate::store::{GRACE, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tidegate_flow::job::JobMessage;
use tidegate_flow::wire::v1::{FromHub, Tally};

/// What lies on its way to an object store this long was left by a process that died.
const STAGED: Duration = Duration::from_hours(24);

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) gone: Tally,
    pub(super) kept: Tally,
}

/// What a store says that it needs.
pub(super) struct Needs {
    pub(super) store: String,
    pub(super) lists: HashSet<Digest>,
}

/// Why a collection did not go to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCollected {
    /// A bucket's objects do not say when they were used last: what a former process saw is not known.
    #[error(
        "the hub was started less than an hour ago, and what is in its object store may be in use: ask again later"
    )]
    Young,
    /// What another hub's attempts need is not known here.
    #[error(
        "another hub keeps objects at the same place of the object store: give each namespace a prefix of its own, or \
         remove the object `owner` there if that hub is gone"
    )]
    Shared,
    /// The object store, or the hub's folder.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

impl Hub {
    /// Removes what nobody needs. `needs` is what a store says that it needs of all it ever claimed; the claims of the
    /// others hold as long as they are renewed.
    pub(super) async fn collect(
        &self,
        needs: Option<&Needs>,
        now: SystemTime,
        dry_run: bool,
    ) -> Result<Swept, NotCollected> {
        let _only_one = self.collecting.lock().await;
        if let Some(bucket) = &self.shelf.bucket {
            if !bucket.is_own(&self.name()).await? {
                return Err(NotCollected::Shared);
            }
            if now.duration_since(self.started).unwrap_or_default() < GRACE {
                return Err(NotCollected::Young);
            }
        }
        self.read_claims().await?;
        let but = needs.map(|needs| (needs.store.as_str(), &needs.lists, GRACE));
        let needed = self.needed(now, but).await?;
        if !dry_run {
            self.ledger.forget(now, but);
            // One that is not written down is heard of again.
            let _ = self.write_claims().await;
        }
        Ok(match &self.shelf.bucket {
            Some(bucket) => {
                let _ = self.sweep_folder(HashSet::new(), now - STAGED, dry_run).await;
                bucket.collect(&needed, now, dry_run).await?
            }
            None => self.sweep_folder(needed, now - GRACE, dry_run).await?,
        })
    }

    /// What stores rely on, and what attempts may have that are not over.
    async fn needed(
        &self,
        now: SystemTime,
        but: Option<(&str, &HashSet<Digest>, Duration)>,
    ) -> Answered<HashSet<Digest>> {
        let lists = self.ledger.lists(now, but);
        let mut needed = HashSet::new();
        for list in lists {
            needed.insert(list);
            if let Some(names) = self.shelf.names(&list).await? {
                needed.extend(names.iter());
            }
            tokio::task::yield_now().await;
        }
        let open: Vec<_> = self.state().attempts.values().map(|attempt| attempt.access.clone()).collect();
        for access in open {
            self.shelf.read_up(&access).await?;
            needed.extend(locked(&access).all());
        }
        Ok(needed)
    }

    async fn sweep_folder(
        &self,
        needed: HashSet<Digest>,
        before: SystemTime,
        dry_run: bool,
    ) -> Answered<Swept> {
        let objects = self.shelf.objects.clone();
        let sweep = move || {
            let is_needed = |digest: &str| digest_of(digest).is_none_or(|digest| needed.contains(&digest));
            objects.collect(&is_needed, before, dry_run)
        };
        let wrong = |source| object_store::Error::Generic { store: "the hub's folder", source };
        let done: Result<_, StoreError> =
            tokio::task::spawn_blocking(sweep).await.map_err(|e| wrong(Box::new(e)))?;
        let (gone, kept) = done.map_err(|e| wrong(Box::new(e)))?;
        let tally = |amount: crate::store::Amount| Tally { count: amount.count, bytes: amount.bytes };
        Ok(Swept { gone: tally(gone), kept: tally(kept) })
    }

    /// Collects for an engine, and says what came of it.
    pub(super) fn collect_for(self: &Arc<Self>, id: u64, needs: Needs, dry_run: bool, frames: &Frames) {
        let (hub, to) = (self.clone(), frames.clone());
        tokio::spawn(async move {
            let done = hub.collect(Some(&needs), SystemTime::now(), dry_run).await;
            let error = done.as_ref().err().map(|error| super::questions::plain(&error.to_string()));
            let Swept { gone, kept } = done.unwrap_or_default();
            to.say(&FromHub::Collected { id, gone, kept, error });
        });
    }

    /// The store of an attempt relies on what a message hands on.
    pub(super) fn relies_on(&self, attempt: &str, message: &JobMessage) {
        let store = self.state().attempts.get(attempt).map(|attempt| attempt.spool.opened.store.clone());
        let Some(store) = store else { return };
        for list in super::access::handed_on(message).iter().filter_map(|a| digest_of(&a.digest)) {
            self.ledger.claim(&store, list);
        }
    }
}

// A claim is renewed daily by what runs: it must not end meanwhile.
const _: () = assert!(LIFE.as_secs() > 2 * 24 * 60 * 60);
