//! Which cluster, and what pods there are made of: the command line, else the project's settings.

use super::args::{ClusterArgs, read};
use crate::app::cli::Failure;
use crate::app::config::{Project, Settings};
use crate::app::engine::ClusterSettings;
use std::path::{Path, PathBuf};
use tidegate_edge::executor::kubernetes::{ClusterError, HubSettings, Policy};

/// Puts together what `--on kubernetes` needs to know.
pub(in crate::app::cli) fn cluster(
    said: &ClusterArgs,
    settings: &Settings,
    project: &Project,
) -> Result<ClusterSettings, Failure> {
    let kept = &settings.kubernetes;
    let usual = ClusterSettings::default();
    Ok(ClusterSettings {
        context: said.context.clone().or_else(|| kept.context.clone()),
        namespace: said.namespace.clone().or_else(|| kept.namespace.clone()),
        agent_image: said.agent_image.clone().or_else(|| kept.agent_image.clone()).unwrap_or_else(own_image),
        image: said.image.clone().or_else(|| kept.image.clone()).unwrap_or_default(),
        image_patience: kept.image_patience.map_or(usual.image_patience, |p| p.0),
        node_patience: kept.node_patience.map_or(usual.node_patience, |p| p.0),
        pending_timeout: kept.pending_timeout.map(|p| p.0),
        orphan_after: kept.orphan_after.map_or(usual.orphan_after, |p| p.0),
        policy: policy(said.policy.as_deref(), project)?,
        spot: kept.spot.clone().unwrap_or_default(),
        pull_secrets: kept.image_pull_secrets.clone(),
        hub: HubSettings {
            store: kept.store.as_ref().map(|s| s.0.clone()),
            pull_secrets: kept.image_pull_secrets.clone(),
            ..kept.hub.clone()
        },
    })
}

/// What people read where the cluster did not do it.
pub(in crate::app::cli) fn cluster_failure(message: &str, error: &ClusterError) -> Failure {
    let failure = Failure::tool(message).caused_by(error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Tidegate's own image where nobody names one.
pub(in crate::app::cli) fn own_image() -> String {
    format!("docker.io/tidegate/tidegate:{}", env!("CARGO_PKG_VERSION"))
}

/// Reads the engine's own policy. A file of the checkout is refused: a change of the repository must
/// not widen what its own jobs may ask for.
fn policy(said: Option<&Path>, project: &Project) -> Result<Policy, Failure> {
    let path = match said {
        Some(path) => path.to_owned(),
        None => match user_file().filter(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(Policy::default()),
        },
    };
    let text = read(&path)?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = real(&path);
    let root = real(&project.root);
    let checkout = root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&root);
    if file.starts_with(checkout) {
        return Err(Failure::wrong(format!("the policy {} lies in the checkout", path.display()))
            .hint("keep it outside, so that a change of the repository cannot change it"));
    }
    Policy::read(&text).map_err(|reason| Failure::wrong(format!("the policy {}: {reason}", path.display())))
}

/// The user's own file (XDG Base Directory Specification).
fn user_file() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("tidegate/policy.yaml"))
}
