//! An engine that stands in the cluster, and those who speak to it from outside.
//!
//! `manifests` says what it is made of (pure) and `install` puts that up. A run comes to it as a Secret
//! (`request`, pure): `submit` makes it outside, `desk` takes it in. `lease` keeps a second engine away,
//! `objects` brings trees to the hub and from there, `exec` runs a command beside the engine. Not here: what
//! the engine does with a run (`app::engine`).

mod desk;
mod exec;
mod install;
mod lease;
mod manifests;
mod objects;
mod request;
mod submit;

pub use desk::{Asked, Desk};
pub use exec::{Beside, Terminal, run_beside};
pub use install::install;
pub use lease::{EngineLease, Held};
pub use manifests::{Installation, Kept, engine_manifests, runner_manifests, user_manifests};
pub(super) use objects::with_hub;
pub use objects::{Fetched, fetch_tree};
pub use request::{Request, RequestError};
pub use submit::{Answer, Submission, submit};
