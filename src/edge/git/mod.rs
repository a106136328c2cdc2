//! Repositories: the tree as it lies there, its commit, its branch, what changed.

mod changed;
mod facts;
mod remote;
mod snapshot;
mod stamps;

pub use changed::changed_since;
pub use facts::{Facts, facts};
pub use snapshot::{Snapshot, files_of, snapshot};
pub use stamps::{Stamp, now};

use crate::store::StoreError;
use std::path::Path;

/// Why a tree could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git said no.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system said no.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl GitError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.display().to_string(), source }
    }
}
