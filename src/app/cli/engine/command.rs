//! Arguments, and which of the two parts this process is.

use super::{one, serve};
use crate::app::cli::runs::keep_age;
use crate::app::cli::{Exit, Failure, Globals};
use std::path::PathBuf;
use tidegate_edge::executor::kubernetes::HubSettings;

/// Arguments of `tidegate engine`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tidegate's own image
    #[arg(long, value_name = "IMAGE")]
    pub agent_image: String,
    /// Who holds the right to be the engine: the pod's UID
    #[arg(long, value_name = "UID", env = "TIDEGATE_HOLDER")]
    pub holder: String,
    /// The size of the hub's volume, if a hub has to be put up
    #[arg(long, value_name = "SIZE")]
    pub hub_volume: Option<String>,
    /// Its storage class
    #[arg(long, value_name = "NAME")]
    pub hub_storage_class: Option<String>,
    /// The account of its pod
    #[arg(long, value_name = "NAME")]
    pub hub_service_account: Option<String>,
    /// The object store that it keeps objects in
    #[arg(long, value_name = "URL")]
    pub hub_store: Option<String>,
    /// A Secret of the namespace that its image is pulled with
    #[arg(long, value_name = "NAME")]
    pub hub_pull_secret: Vec<String>,
    /// Runs that ended longer ago than this need nothing any more
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = keep_age)]
    pub keep: String,
    /// Carry out one run, whose request comes on standard input
    #[arg(long, value_name = "ULID")]
    pub run: Option<String>,
}

impl Args {
    /// How a hub keeps things that has to be put up.
    pub(super) fn hub(&self) -> HubSettings {
        HubSettings {
            volume: self.hub_volume.clone(),
            storage_class: self.hub_storage_class.clone(),
            service_account: self.hub_service_account.clone(),
            store: self.hub_store.clone(),
            pull_secrets: self.hub_pull_secret.clone(),
        }
    }
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let store = globals.store.clone().unwrap_or_else(|| PathBuf::from(".tidegate"));
    match &args.run {
        Some(run) => one::run(&args, run, &store, globals),
        None => serve::run(&args, &store, globals),
    }
}
