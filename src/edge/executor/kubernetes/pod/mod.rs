//! A `JobSpec` as a `batch/v1` Job. Pure: names, ids and secrets come in as arguments.
//!
//! `job` puts it together from `containers`, `services`, `volumes`, `nodes`, `gpu` and `scheduling`; a team's
//! `template` is `merge`d over it where it `touches` nothing of the engine's, and the `policy` is what came
//! out is `judge`d by; `own` is what the engine itself gave. `names` says what things are called, `private`
//! makes the Secrets.

mod containers;
mod finding;
mod gpu;
mod job;
mod judge;
mod merge;
mod names;
mod nodes;
mod overlay;
mod own;
mod policy;
mod private;
mod scheduling;
mod services;
mod template;
mod touches;
mod volumes;

pub use finding::Findings;
pub(super) use gpu::gpu;
pub use job::{ManifestError, PodSettings, job_manifest};
pub use names::{identity, job_name};
pub use nodes::service_manifest;
pub use policy::Policy;
pub use private::{hidden_secrets, pull_secret, secret_manifest, service_secrets};
pub use scheduling::SpotNodes;
pub use template::Template;

/// The group that owns everything agent and steps share.
const GROUP: u32 = 65532;
