//! Assembly: what the command line calls.

pub mod cli;
pub mod config;
pub mod engine;
pub mod report;
