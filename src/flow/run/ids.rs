//! Names inside a run: dense numbers, so that lookups are array accesses.

use serde::{Deserialize, Serialize};

/// A job of the run: the position of its declaration, over all called workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u32);

/// An instance of the run: the position of its declaration, over all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(pub u32);

/// Milliseconds since 1970. Recorded, compared with due times, never used to order events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Millis(pub i64);
