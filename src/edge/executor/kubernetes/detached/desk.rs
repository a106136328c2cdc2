//! The engine's desk: requests come in, and what becomes of them is noted on them.

use super::request::{LABEL, NUMBER, REFUSED, Request, TAKEN_BY, TROUBLE};
use crate::executor::kubernetes::cluster::Cluster;
use crate::executor::kubernetes::error::{ClusterError, api};
use crate::executor::kubernetes::{HubSettings, service};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A watch is made anew after this long: one that stalls unnoticed costs no more than that.
const WATCH_SECONDS: u32 = 60;
/// Characters of a note, at most.
const NOTE: usize = 1000;

/// What is heard of requests.
pub enum Asked {
    /// A list of all begins.
    Begins,
    /// There is one, or it has changed.
    Request(Box<Request>),
    /// The list is whole: what it did not name is gone.
    Whole,
    /// One of this name is gone.
    Gone(String),
    /// The API server does not answer; it is asked again.
    Trouble(String),
}

/// The desk of the engine of a namespace.
#[derive(Clone)]
pub struct Desk {
    pub(super) cluster: Cluster,
    /// What a person should know of the hub.
    pub notes: Vec<String>,
}

impl Desk {
    /// Opens the desk of the namespace that this pod stands in, or that the configuration names; the hub
    /// is put up where there is none.
    pub async fn open(image: &str, hub: &HubSettings) -> Result<Self, ClusterError> {
        let cluster = Cluster::connect(None, None).await?;
        let found = Box::pin(service::ensure(&cluster, image, hub)).await?;
        Ok(Self { cluster, notes: found.notes })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.cluster.namespace
    }

    /// Returns what is heard of requests, as long as the runtime lives.
    pub fn requests(&self) -> UnboundedReceiver<Asked> {
        let config = watcher::Config::default().labels(LABEL).timeout(WATCH_SECONDS);
        let mut events = watcher(self.cluster.secrets(), config).default_backoff().boxed();
        let (to, heard) = unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if to.send(asked(event)).is_err() {
                    return;
                }
            }
        });
        heard
    }

    /// Notes that a run was taken in by a store, and its number there.
    pub async fn accepted(&self, name: &str, store: &str, number: u64) -> Result<(), ClusterError> {
        let notes = json!({ NUMBER: number.to_string(), TAKEN_BY: store, TROUBLE: null });
        self.note(name, json!({ "metadata": { "annotations": notes } })).await
    }

    /// Notes why a run is not taken in, and throws away what the request held: secrets do not lie about.
    pub async fn refused(&self, name: &str, reason: &str) -> Result<(), ClusterError> {
        let notes = json!({ REFUSED: short(reason), TROUBLE: null });
        self.note(name, json!({ "metadata": { "annotations": notes }, "data": null })).await
    }

    /// Notes why a run cannot go on just now.
    pub async fn trouble(&self, name: &str, reason: &str) -> Result<(), ClusterError> {
        self.note(name, json!({ "metadata": { "annotations": { TROUBLE: short(reason) } } })).await
    }

    async fn note(&self, name: &str, change: Json) -> Result<(), ClusterError> {
        let done = self.cluster.secrets().patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        gone_is_fine(done.map(drop), || format!("noting something on the Secret {name}"))
    }

    /// Removes what runs of a run whose log is lost: nobody will hear of it.
    pub async fn remove_attempts(&self, store: &str, run: &str) -> Result<(), ClusterError> {
        for job in self.cluster.kept_jobs(store).await?.iter().filter(|job| job.run == run) {
            self.cluster.remove_job(&job.name).await?;
        }
        Ok(())
    }

    /// Removes a request: its run has ended.
    pub async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let done = self.cluster.secrets().delete(name, &DeleteParams::default()).await;
        gone_is_fine(done.map(drop), || format!("removing the Secret {name}"))
    }
}

fn asked(event: Result<Event<Secret>, watcher::Error>) -> Asked {
    match event {
        Ok(Event::Init) => Asked::Begins,
        Ok(Event::InitDone) => Asked::Whole,
        Ok(Event::Apply(secret) | Event::InitApply(secret)) => Asked::Request(Box::new(Request::of(secret))),
        Ok(Event::Delete(secret)) => Asked::Gone(secret.metadata.name.unwrap_or_default()),
        Err(error) => Asked::Trouble(error.to_string()),
    }
}

fn gone_is_fine(done: Result<(), kube::Error>, doing: impl FnOnce() -> String) -> Result<(), ClusterError> {
    match done {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(api(doing(), error)),
        Ok(()) => Ok(()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(NOTE).collect()
}
