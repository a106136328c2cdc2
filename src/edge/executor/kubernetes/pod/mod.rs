//! A `JobSpec` as a `batch/v1` Job. Pure: names, ids and secrets come in as arguments.
//!
//! `job` puts it together from `containers`, `services`, `nodes`, `gpu` and `scheduling`; a team's
//! `template` is `merge`d over it, and the `policy` judges what came out.

mod containers;
mod finding;
mod gpu;
mod job;
mod merge;
mod nodes;
mod overlay;
mod policy;
mod private;
mod scheduling;
mod services;
mod template;

pub use finding::Findings;
pub use job::{ManifestError, PodSettings, identity, job_manifest, job_name, secret_manifest};
pub use nodes::service_manifest;
pub use policy::Policy;
pub use private::{pull_secret, service_secrets};
pub use scheduling::SpotNodes;
pub use template::Template;

/// The group that owns everything agent and steps share.
const GROUP: u32 = 65532;
