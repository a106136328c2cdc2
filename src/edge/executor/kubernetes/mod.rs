//! Attempts as Jobs of a Kubernetes cluster.
//!
//! `pod` maps a `JobSpec` to a Job and `observe` what is seen of it to words; both are pure. `cluster` holds what is asked
//! of the API server, `error` why it did not do it, `service` the hub that is put up, `shape` (pure) what it is made of.
//! `executor` is what the engine sees, `watch` the loop behind it and `pods` what it hears of pods; `requests` hears the
//! engine and the agents, `starting` makes Jobs, `probe` asks before anything is submitted, `images` says which images
//! ran and `digests` so after the receipt, `checkpoints` remembers what was saved, `ranks` puts together what several
//! nodes say, `rules` reads the namespace's policy, `rights` what an engine outside may do, `leftovers` removes Jobs of
//! runs that are over, `asking` works with the hub's objects outside of any run, `missed` says when the API server does
//! not answer, `ends` decides that an attempt is over, `waits` that it waits and for how long, `quotes` reads what a
//! container said last that no agent heard, `projection` says what of Jobs and pods is remembered, `own` what the hub's
//! and the engine's manifests share. The tests' `world` is a loop that nobody drives.
//!
//! `detached` is an engine in the cluster, and what speaks to it.

mod asking;
mod attempt;
mod checkpoints;
mod cluster;
pub mod detached;
mod digests;
mod ends;
mod error;
mod executor;
mod images;
mod leftovers;
mod missed;
mod observe;
mod own;
mod pod;
mod pods;
mod probe;
mod projection;
mod queues;
mod quotes;
mod ranks;
mod requests;
mod restarts;
mod rights;
mod rules;
mod service;
mod shape;
mod starting;
mod waits;
mod watch;
#[cfg(test)]
mod world;

pub use asking::with_hub_objects;
pub use checkpoints::saved_lists;
pub use cluster::{Cluster, KeptJob};
pub use error::ClusterError;
pub use executor::{KubernetesExecutor, KubernetesOptions, Meanwhile};
pub use leftovers::{AtHub, collect_at_hub, remove_leftovers};
pub use observe::{Death, Seen, Waiting, death, seen, waiting};
pub use pod::{
    Findings, ManifestError, PodSettings, Policy, SpotNodes, Template, hidden_secrets, job_manifest,
    job_name, service_manifest,
};
pub use probe::{Probe, Refusal};
pub use ranks::{attempt_of, token_of};
pub use shape::HubSettings;
