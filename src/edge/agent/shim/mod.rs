//! Steps in another container than their agent: `serve` is the container's first process and starts
//! programs on the agent's word, `launch` is the agent's end, `row` several containers one after the
//! other, `protocol` what they say.
//!
//! They share a folder with a socket in it. A program's output goes through a named pipe of that
//! folder, so what it said last is there when its container is not.

mod launch;
mod protocol;
mod row;
mod serve;

pub use launch::{Door, ShimLauncher};
pub use row::{Bring, Brought, Row};
pub use serve::{ShimError, serve};
