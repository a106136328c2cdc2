//! Data sources: listing, pinning and fetching what a run reads.
