//! `Node` → typed workflow: every finding of shape and type, never only the first.

mod action;
mod job;
mod ml;
mod needs;
mod reader;
mod root;
mod step;
mod trigger;

pub use action::parse_action;
pub use root::parse;
