//! `tidegate runs download`: artifacts of a run, laid into a folder.
//!
//! `wanted` says which ones and where each goes, `hand_out` lays them there, `command` is what people call.

mod command;
mod hand_out;
mod wanted;

pub use command::{Args, run};
