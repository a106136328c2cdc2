//! Work folders: the tree a job starts from, laid out cheaply.
//!
//! Folders are slots that are used again: what the last job left is repaired by difference, so that
//! a job in a tree of ten thousand files costs a look at each and no copy.

mod repair;
mod slots;

pub use slots::{Workspace, Workspaces};
