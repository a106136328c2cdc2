//! The typed workflow: one file per section of the language, each leaf with its place.
//!
//! `parse` turns a `Node` into a [`Workflow`] and every finding of shape and type; it never stops
//! at the first. Not here: what needs several sections at once (`check`).

mod availability;
pub mod cron;
mod data;
mod dialect;
mod events;
pub mod glob;
mod grants;
mod job;
mod link;
mod ml;
mod parse;
mod root;
mod schema;
mod step;
mod tree;
mod trigger;
mod units;

pub use availability::{Allowed, AllowedNames, availability};
pub use data::*;
pub use dialect::Dialect;
pub use events::{EVENTS, EventKind, event};
pub use grants::Grants;
pub use job::*;
pub use link::{LinkRules, Linked, MAX_CALL_DEPTH, link, link_with, local_path};
pub use ml::*;
pub use parse::{parse, parse_action, plain_value};
pub use root::*;
pub use schema::schema;
pub use step::*;
pub use tree::{Dynamic, Tree, TreeKind};
pub use trigger::*;
pub use units::{duration, quantity};
