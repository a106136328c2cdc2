//! What is kept: the log of every run, content by its digest, cache entries and leases.
//!
//! `.tidegate/` holds `runs.db` (SQLite, WAL) and `objects/` (blake3).

mod manifest;
mod objects;
mod traits;

pub use manifest::{Entry, EntryKind, Manifest, link_stays_below, path_text, stays_below, text_path};
pub use objects::FileObjects;
pub(crate) use objects::{io, make_folders, refused};
pub use traits::{CacheEntry, Objects, OwnedRun, RunLog, RunRow, StoreError, Sync};
