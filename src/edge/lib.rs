//! Effects: what reads, writes, waits or starts something. Each stands behind a small trait.

pub mod agent;
pub mod data;
pub mod executor;
pub mod git;
pub mod hub;
pub mod python;
pub mod store;
pub mod workspace;
