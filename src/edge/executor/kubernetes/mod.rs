//! Attempts as Jobs of a Kubernetes cluster.
//!
//! `pod` maps a `JobSpec` to a Job and `observe` what is seen of it to words; both are pure. `cluster`
//! holds what is asked of the API server, `executor` the loop, `service` the hub that it puts up.

mod cluster;
mod executor;
mod observe;
mod pod;
mod service;

pub use cluster::{Cluster, ClusterError};
pub use executor::{KubernetesExecutor, KubernetesOptions};
pub use observe::{Death, Seen, Waiting, death, seen, waiting};
pub use pod::{Gpu, GpuError, PodSettings, gpu, job_manifest, job_name, secret_manifest};
