//! Attempts in containers of this machine, by docker or podman.
//!
//! The agent of an attempt runs on the machine, in the supervisor process (`host`); its steps run in
//! containers that it starts one after the other (`stand`), each with a shim as first process. `create`
//! maps a `JobSpec` to the words of `docker run` and is pure. `engine` calls docker or podman, `find`
//! chooses one, `images` pulls, `services` waits for health, `death` says why a container ended,
//! `program` finds the static program that shims are, `leftovers` removes what a killed engine left.

mod create;
mod death;
mod engine;
mod find;
mod host;
mod images;
mod leftovers;
mod program;
mod services;
mod stand;

pub use engine::{CallError, ContainerEngine, Kind};
pub use find::{NoEngine, find_engine};
pub use host::{ContainerHost, ContainerOptions};
pub use leftovers::remove_leftovers;
pub use program::{ProgramError, static_program};
