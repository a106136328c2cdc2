//! `tidegate init`: writes a first workflow for the project that is here. Never overwrites.

mod command;
mod draft;
mod look;

pub use command::{Args, run};
