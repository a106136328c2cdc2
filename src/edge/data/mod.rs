//! Data sources: listing, pinning and keeping what a run reads.
//!
//! Here are folders and files of this machine. Sources elsewhere (`s3://`, `gs://`, `az://`,
//! `https://`) are refused by name.

mod pin;

pub use pin::{DataError, Keep, Pinned, Wanted, pin};
