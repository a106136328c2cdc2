//! The JSON Schema that editors use, made from one description of the language's keys.
//!
//! It covers both dialects. Not here: what needs more than shape (`parse` and `check` say that).

mod job;
mod ml;
mod root;
mod shape;
mod step;

pub use root::schema;
