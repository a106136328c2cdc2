//! `Node` → typed workflow: every finding of shape and type, never only the first.

mod action;
mod container;
mod job;
mod ml;
mod ml_step;
mod needs;
mod quoted;
mod reader;
mod root;
mod step;
mod strategy;
#[cfg(test)]
mod tests;
mod trigger;

pub use action::parse_action;
pub use reader::plain_value;
pub use root::parse;
