//! Where jobs run: as processes of this machine, or as pods of a cluster.

use super::EngineError;
use super::machine::Ear;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_edge::executor::Executor;
use tidegate_edge::executor::kubernetes::{KubernetesExecutor, KubernetesOptions};
use tidegate_edge::executor::local::{LocalExecutor, LocalOptions};
use tidegate_edge::store::store_id;

/// Where jobs run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackEnd {
    /// As processes of this machine.
    #[default]
    Local,
    /// As pods of a cluster.
    Kubernetes(ClusterSettings),
}

/// Which cluster, and what pods are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The context of the kubeconfig; `None`: the current one.
    pub context: Option<String>,
    /// The namespace; `None`: the context's.
    pub namespace: Option<String>,
    /// Tidegate's own image.
    pub agent_image: String,
    /// The image of jobs that name none; empty: such jobs fail.
    pub image: String,
    /// An image that cannot be pulled is waited for this long.
    pub image_patience: Duration,
}

impl BackEnd {
    /// The word for it: as `--on` says it, and as the log keeps it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Where jobs run in pods: the image of those that name none.
    pub(super) fn pods(&self) -> Option<&str> {
        match self {
            Self::Local => None,
            Self::Kubernetes(settings) => Some(&settings.image),
        }
    }

    /// Starts an executor for a run of the store in `dir`; what it says goes to `sink`.
    pub(super) fn start(
        &self,
        exe: Option<&PathBuf>,
        dir: &Path,
        run: &str,
        sink: Ear,
    ) -> Result<Box<dyn Executor>, EngineError> {
        match self {
            Self::Local => {
                let exe = exe.cloned().map_or_else(std::env::current_exe, Ok);
                let exe = exe.map_err(EngineError::Executor)?;
                let options = LocalOptions { exe, store: dir.to_owned(), run: run.to_owned() };
                let started = LocalExecutor::start(&options, sink);
                Ok(Box::new(started.map_err(EngineError::Executor)?))
            }
            Self::Kubernetes(settings) => {
                let options = KubernetesOptions {
                    context: settings.context.clone(),
                    namespace: settings.namespace.clone(),
                    agent_image: settings.agent_image.clone(),
                    image: settings.image.clone(),
                    image_patience: settings.image_patience,
                    store: dir.to_owned(),
                    store_id: store_id(dir)?,
                    run: run.to_owned(),
                };
                let sink = std::sync::Mutex::new(sink);
                let sink = Box::new(move |message| {
                    if let Ok(sink) = sink.lock() {
                        sink(message);
                    }
                });
                Ok(Box::new(KubernetesExecutor::start(options, sink)?))
            }
        }
    }
}
