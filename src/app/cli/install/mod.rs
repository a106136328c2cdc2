//! `tidegate install`: puts an engine into a cluster.

mod command;

pub use command::{Args, run};
