//! What is kept: the log of every run, content by its digest, cache entries and leases.
//!
//! `.tidegate/` holds `runs.db` (SQLite, WAL), `objects/` (blake3), `locks/` (one for each living
//! process) and `ballast` (room for the log on a full disk).

mod ballast;
mod beside;
mod claim;
mod collect;
mod delivery;
mod faulty;
mod incoming;
mod lease;
mod log;
mod manifest;
mod objects;
mod open;
mod owner;
mod parcel;
mod schema;
mod take;
#[cfg(test)]
mod tests;
mod traits;

pub use claim::{GRACE, STALE, use_folder};
pub use collect::{Amount, Collect, Collected, KeptLists, Strike};
pub use delivery::{Content, Delivery};
pub use faulty::{FaultyLog, FaultyObjects, Hook, Moment, Witness};
pub use incoming::{Incoming, OBJECT_LIMIT};
pub use manifest::{Entry, EntryKind, Manifest, link_stays_below, path_text, stays_below, text_path};
pub use objects::FileObjects;
pub(crate) use objects::{io, make_folders, refused};
pub use open::{Store, store_id};
pub use parcel::{DeliveryError, Parcel};
pub use traits::{CacheEntry, Line, Objects, OwnedRun, Place, RunLog, RunRow, StoreError, Sync};
