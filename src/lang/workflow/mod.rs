//! The typed workflow: one file per section of the language, each leaf with its place.
//!
//! `parse` turns a `Node` into a [`Workflow`] and every finding of shape and type; it never stops
//! at the first. Not here: what needs several sections at once (`check`).

mod data;
mod dialect;
mod job;
mod ml;
mod root;
mod step;
mod tree;
mod trigger;

pub use data::*;
pub use dialect::Dialect;
pub use job::*;
pub use ml::*;
pub use root::*;
pub use step::*;
pub use tree::{Dynamic, Tree, TreeKind};
pub use trigger::*;
