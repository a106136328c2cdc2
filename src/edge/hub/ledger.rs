//! Where a hub keeps what stores rely on: a small text for each store, beside the objects.
//!
//! Written some seconds late. Who dies with it meanwhile loses little: an engine says all that its run relies on again
//! over each new connection.

use super::access::Digest;
use super::claims::{Claims, Seconds};
use super::server::Hub;
use super::shelf::{Answered, Shelf, locked};
use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A list that no store renews its claim on in this time is not kept for any; what runs renews it daily. As long as GitHub
/// keeps artifacts by default ("Artifact and log retention policy"): the hub has the only copy, and people go on holiday.
pub(super) const LIFE: Duration = Duration::from_hours(90 * 24);

/// What is known of claims, and what of it is not written down yet.
#[derive(Default)]
pub(super) struct Ledger {
    claims: Mutex<Claims>,
    /// Stores whose text is not what is known.
    changed: Mutex<BTreeSet<String>>,
    /// What a former process wrote was read.
    read: tokio::sync::Mutex<bool>,
}

/// Seconds since 1970.
pub(super) fn seconds(now: SystemTime) -> Seconds {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Ledger {
    /// A store relies on a list.
    pub(super) fn claim(&self, store: &str, list: Digest) {
        if locked(&self.claims).claim(store, list, seconds(SystemTime::now())) {
            self.has_changed(store.to_owned());
        }
    }

    /// The lists that some store relies on: see [`Claims::lists`].
    pub(super) fn lists(
        &self,
        now: SystemTime,
        but: Option<(&str, &HashSet<Digest>, Duration)>,
    ) -> BTreeSet<Digest> {
        locked(&self.claims).lists(seconds(now), LIFE, but)
    }

    /// Forgets what nobody relies on any more: see [`Claims::only`] and [`Claims::forget`].
    pub(super) fn forget(&self, now: SystemTime, but: Option<(&str, &HashSet<Digest>, Duration)>) {
        let changed = {
            let mut claims = locked(&self.claims);
            if let Some((store, keep, grace)) = but {
                claims.only(store, keep, seconds(now), grace);
            }
            claims.forget(seconds(now), LIFE)
        };
        changed.into_iter().chain(but.map(|(store, ..)| store.to_owned())).for_each(|s| self.has_changed(s));
    }

    fn has_changed(&self, store: String) {
        locked(&self.changed).insert(store);
    }

    /// Reads what a former process wrote.
    async fn read(&self, shelf: &Shelf) -> Answered<()> {
        let mut read = self.read.lock().await;
        if !*read {
            for text in shelf.notes().await? {
                // The store's name is the first line.
                if let Some((store, lists)) = text.split_once('\n') {
                    locked(&self.claims).merge(store, lists);
                }
            }
            *read = true;
        }
        Ok(())
    }

    /// Writes what is not written down yet.
    async fn write(&self, shelf: &Shelf) -> Answered<()> {
        // What was not read must not be written over.
        self.read(shelf).await?;
        loop {
            let Some(store) = locked(&self.changed).pop_first() else { return Ok(()) };
            let text = locked(&self.claims).written(&store).map(|lists| format!("{store}\n{lists}"));
            // Names of stores are whatever engines say.
            let name = blake3::hash(store.as_bytes()).to_hex();
            if let Err(error) = shelf.note(name.as_str(), text).await {
                self.has_changed(store);
                return Err(error);
            }
        }
    }
}

impl Hub {
    /// Knows what stores rely on, also of what a former process was told.
    pub(super) async fn read_claims(&self) -> Answered<()> {
        self.ledger.read(&self.shelf).await
    }

    /// Writes down what stores rely on.
    pub(super) async fn write_claims(&self) -> Answered<()> {
        self.ledger.write(&self.shelf).await
    }
}
