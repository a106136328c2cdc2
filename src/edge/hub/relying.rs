//! What an engine says of what its store relies on at a hub, and what the hub may remove.

use super::client::Connection;
use super::objects::{ASKED_AT_ONCE, Content, HubObjects};
use crate::store::StoreError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidegate_flow::wire::v1::{FromHub, Tally, ToHub};

/// What a run relies on is said so often: a hub forgets it after 90 days.
const RENEWED: Duration = Duration::from_hours(24);

/// What came of a collection at a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubCollected {
    /// What went, or would go.
    pub gone: Tally,
    /// What stays.
    pub kept: Tally,
    /// Why not all was looked at.
    pub error: Option<String>,
}

/// A question that has an answer from every hub.
fn nothing(id: u64) -> ToHub {
    ToHub::Missing { id, digests: Vec::new() }
}

impl HubObjects {
    /// The hub is told what the store relies on, or it is of a release that cannot be.
    pub fn collected(&self, collects: bool) {
        self.collects.get_or_init(AtomicBool::default).store(collects, Ordering::Release);
    }

    /// The store relies on these lists: the hub has heard so from others.
    pub(super) fn hold(&self, lists: impl IntoIterator<Item = String>) {
        self.waiting().held.extend(lists);
    }

    /// Says again what the store relies on.
    pub(super) fn renew(&self, connection: &Connection) {
        let lists: Vec<String> = {
            let mut waiting = self.waiting();
            waiting.renewed = Some(Instant::now());
            waiting.held.iter().cloned().collect()
        };
        if self.says_collects() == Some(true) {
            for some in lists.chunks(ASKED_AT_ONCE) {
                connection.say(&ToHub::Keeps { lists: some.to_vec() });
            }
        }
    }

    /// Does so once a day.
    pub(super) fn renew_daily(&self, connection: &Connection) {
        if self.waiting().renewed.is_some_and(|at| at.elapsed() >= RENEWED) {
            self.renew(connection);
        }
    }

    /// Tells whether the hub collects, if it has said so yet.
    fn says_collects(&self) -> Option<bool> {
        self.collects.get().map(|collects| collects.load(Ordering::Acquire))
    }

    /// Tells whether the hub collects; waits until it is there to say so.
    pub(super) fn does_collect(&self) -> Result<bool, StoreError> {
        if self.says_collects().is_none() {
            self.ask(nothing, Content::Bytes(Vec::new()), None)?;
        }
        Ok(self.says_collects() == Some(true))
    }

    /// Like [`Self::claim`], for who does not wait for a hub that is away: then nothing is said to be missing.
    pub fn claim_soon(&self, lists: &[String], patience: Duration) -> Vec<String> {
        let mut missing = Vec::new();
        self.hold(lists.iter().cloned());
        if self.says_collects().is_none() {
            // Any answer comes after that.
            let asked = self.question(nothing, Content::Bytes(Vec::new()), None);
            let _ = asked.map(|asked| asked.recv_timeout(patience));
        }
        for some in lists.chunks(ASKED_AT_ONCE) {
            let asked = self.question(self.claims(some), Content::Bytes(Vec::new()), None);
            if let Some(Ok((FromHub::Missing { digests, .. }, _))) =
                asked.ok().and_then(|asked| asked.recv_timeout(patience).ok())
            {
                missing.extend(digests);
            }
        }
        missing
    }

    /// Relies on lists and on all that they name; returns those that the hub does not have, or not all of. A hub that is
    /// not told what stores rely on says whether it has the lists.
    pub fn claim(&self, lists: &[String]) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        self.does_collect()?;
        for some in lists.chunks(ASKED_AT_ONCE) {
            if let (FromHub::Missing { digests, .. }, _) =
                self.ask(self.claims(some), Content::Bytes(Vec::new()), None)?
            {
                missing.extend(digests);
            }
        }
        self.hold(lists.iter().filter(|list| !missing.contains(list)).cloned());
        Ok(missing)
    }

    fn claims(&self, lists: &[String]) -> impl FnOnce(u64) -> ToHub + use<> {
        let (lists, collects) = (lists.to_vec(), self.says_collects() == Some(true));
        move |id| {
            if collects { ToHub::Claim { id, lists } } else { ToHub::Missing { id, digests: lists } }
        }
    }

    /// Has the hub remove what nobody needs: `keep` is all that this store does. `None`: the hub is of a release that
    /// does not.
    pub fn collect(&self, keep: Vec<String>, dry_run: bool) -> Result<Option<HubCollected>, StoreError> {
        if !self.does_collect()? {
            return Ok(None);
        }
        match self.ask(|id| ToHub::Collect { id, keep, dry_run }, Content::Bytes(Vec::new()), None)? {
            (FromHub::Collected { gone, kept, error, .. }, _) => Ok(Some(HubCollected { gone, kept, error })),
            _ => Ok(None),
        }
    }
}
