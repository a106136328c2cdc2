//! What is kept: the log of every run, content by its digest, cache entries and leases.
//!
//! `.tidegate/` holds `runs.db` (SQLite, WAL) and `objects/` (blake3).

mod traits;

pub use traits::{CacheEntry, Objects, OwnedRun, RunLog, RunRow, StoreError, Sync};
