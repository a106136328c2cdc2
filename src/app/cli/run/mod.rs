//! `tidegate run`: runs a workflow.

mod args;
mod cluster;
mod command;
mod containers;
mod detach;
mod keys;
mod watch;

pub use args::Args;
pub(super) use args::{ClusterArgs, DialectName, Format, Place, secrets_of};
pub(super) use cluster::{cluster, cluster_failure, own_image};
pub use command::run;
pub(super) use command::{PODS_AT_ONCE, back_end, launch, machine};
pub(super) use containers::{engine, image};
pub(super) use detach::{away, elsewhere, hand_over};
pub(super) use watch::Watch;
