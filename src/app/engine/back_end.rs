//! Where jobs run: as processes or in containers of this machine, or as pods of a cluster.

use super::EngineError;
use super::machine::Ear;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_edge::executor::Executor;
use tidegate_edge::executor::container::{ContainerEngine, ContainerOptions, remove_leftovers};
use tidegate_edge::executor::kubernetes::{
    HubSettings, KubernetesExecutor, KubernetesOptions, Meanwhile, Policy, SpotNodes,
};
use tidegate_edge::executor::local::{LocalExecutor, LocalOptions};
use tidegate_edge::store::{RunLog as _, RunRow, Store, store_id};
use tidegate_flow::plan::Place;

/// Where jobs run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackEnd {
    /// As processes of this machine.
    #[default]
    Local,
    /// In containers of this machine.
    Container(ContainerSettings),
    /// As pods of a cluster.
    Kubernetes(ClusterSettings),
}

/// What containers are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSettings {
    /// docker or podman.
    pub engine: ContainerEngine,
    /// A static `tidegate`: the first process of each container.
    pub program: PathBuf,
    /// The image of jobs that name none; empty: such jobs fail.
    pub image: String,
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
    /// A node that is not ready is waited for this long before what runs there is lost.
    pub node_patience: Duration,
    /// A node, room in a quota or in a queue is waited for this long; `None`: without end.
    pub pending_timeout: Option<Duration>,
    /// An attempt ends that no engine has looked after for this long.
    pub orphan_after: Duration,
    /// What pods may ask for, where the namespace does not say it.
    pub policy: Policy,
    /// How the cluster marks its spot nodes.
    pub spot: SpotNodes,
    /// Secrets of the namespace that images are pulled with.
    pub pull_secrets: Vec<String>,
    /// How the namespace's hub keeps things, if one has to be put up.
    pub hub: HubSettings,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            context: None,
            namespace: None,
            agent_image: String::new(),
            image: String::new(),
            image_patience: Duration::from_mins(5),
            node_patience: Duration::from_mins(2),
            pending_timeout: None,
            orphan_after: Duration::from_hours(24),
            policy: Policy::default(),
            spot: SpotNodes::default(),
            pull_secrets: Vec::new(),
            hub: HubSettings::default(),
        }
    }
}

impl BackEnd {
    /// The word for it: as `--on` says it, and as the log keeps it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Container(_) => "container",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// What a resume and a rerun need besides the word: names, by option.
    pub(super) fn named(&self) -> Vec<(&'static str, &str)> {
        let image = Some(self.place().1).filter(|image| !image.is_empty());
        let (context, namespace) = match self {
            Self::Kubernetes(settings) => (settings.context.as_deref(), settings.namespace.as_deref()),
            Self::Local | Self::Container(_) => (None, None),
        };
        let names = [("image", image), ("context", context), ("namespace", namespace)];
        names.into_iter().filter_map(|(option, name)| Some((option, name?))).collect()
    }

    /// Takes over what a run was started with where nothing else is said. `Err`: the name of the option that says something
    /// else, and what the run says; its jobs are there.
    pub(super) fn goes_on(&mut self, options: &BTreeMap<String, Json>) -> Result<(), (&'static str, String)> {
        let said = |name: &str| options.get(name).and_then(Json::as_str).map(str::to_owned);
        if let Self::Container(ContainerSettings { image, .. })
        | Self::Kubernetes(ClusterSettings { image, .. }) = self
            && image.is_empty()
        {
            *image = said("image").unwrap_or_default();
        }
        let Self::Kubernetes(settings) = self else { return Ok(()) };
        for (name, now) in [("context", &mut settings.context), ("namespace", &mut settings.namespace)] {
            match (said(name), &now) {
                (Some(then), Some(now)) if then != *now => return Err((name, then)),
                (then @ Some(_), None) => *now = then,
                _ => {}
            }
        }
        Ok(())
    }

    /// Where jobs run, and the image of those that name none.
    pub(super) fn place(&self) -> (Place, &str) {
        match self {
            Self::Local => (Place::Machine, ""),
            Self::Container(settings) => (Place::Containers, &settings.image),
            Self::Kubernetes(settings) => (Place::Pods, &settings.image),
        }
    }

    /// Tells whether jobs run on this machine: they share what it has, and keep all in this store.
    pub(super) fn is_here(&self) -> bool {
        !matches!(self, Self::Kubernetes(_))
    }

    /// Tells whether attempts outlive their engine.
    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Kubernetes(_))
    }

    /// Starts an executor for a run of the store in `dir`; what it says goes to `sink`. `taken_up`:
    /// attempts of a former engine that go on. `meanwhile` hears what is waited for.
    pub(super) fn start(
        &self,
        exe: Option<&PathBuf>,
        dir: &Path,
        run: &str,
        taken_up: BTreeSet<String>,
        sink: Ear,
        meanwhile: &mut Meanwhile<'_>,
    ) -> Result<Box<dyn Executor>, EngineError> {
        match self {
            Self::Local => start_here(exe, dir, run, None, sink),
            Self::Container(settings) => {
                let store_id = store_id(dir)?;
                let store = Store::open(dir)?;
                // Containers end with their engine: what another one left that was killed is nobody's.
                let goes_on = |other: &str| other != run && store.may_go_on(other, RunRow::is_run);
                let (engine, program) = (settings.engine.clone(), settings.program.clone());
                remove_leftovers(&engine, dir, &store_id, &goes_on, false)?;
                start_here(exe, dir, run, Some(ContainerOptions { engine, program, store_id }), sink)
            }
            Self::Kubernetes(settings) => {
                let options = KubernetesOptions {
                    context: settings.context.clone(),
                    namespace: settings.namespace.clone(),
                    agent_image: settings.agent_image.clone(),
                    image: settings.image.clone(),
                    image_patience: settings.image_patience,
                    node_patience: settings.node_patience,
                    pending_timeout: settings.pending_timeout,
                    orphan_after: settings.orphan_after,
                    policy: settings.policy.clone(),
                    spot: settings.spot.clone(),
                    pull_secrets: settings.pull_secrets.clone(),
                    hub: settings.hub.clone(),
                    store: dir.to_owned(),
                    store_id: store_id(dir)?,
                    run: run.to_owned(),
                    taken_up,
                };
                let sink = std::sync::Mutex::new(sink);
                let sink = Box::new(move |message| {
                    if let Ok(sink) = sink.lock() {
                        sink(message);
                    }
                });
                let store = Store::open(dir)?;
                let over = |run: &str| {
                    let row = store.find(run).ok().flatten();
                    row.is_some_and(|row| row.run.eq_ignore_ascii_case(run) && row.summary.is_some())
                };
                Ok(Box::new(KubernetesExecutor::start(options, &over, meanwhile, sink)?))
            }
        }
    }
}

/// Starts the supervisor of jobs on this machine.
fn start_here(
    exe: Option<&PathBuf>,
    dir: &Path,
    run: &str,
    containers: Option<ContainerOptions>,
    sink: Ear,
) -> Result<Box<dyn Executor>, EngineError> {
    let exe = exe.cloned().map_or_else(std::env::current_exe, Ok).map_err(EngineError::Executor)?;
    let options = LocalOptions { exe, store: dir.to_owned(), run: run.to_owned(), containers };
    Ok(Box::new(LocalExecutor::start(&options, sink).map_err(EngineError::Executor)?))
}
