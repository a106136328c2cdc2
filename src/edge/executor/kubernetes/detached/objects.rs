//! Trees and data on their way to a hub and from it, outside of any attempt.

use crate::executor::kubernetes::cluster::Cluster;
use crate::executor::kubernetes::error::ClusterError;
use crate::executor::kubernetes::executor::reach_hub;
use crate::executor::kubernetes::service;
use crate::hub::{HubEvent, HubObjects};
use crate::store::{FileObjects, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::ArtifactRef;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;

/// A hub that cannot be reached is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a tree that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// All of it is in the store.
    All,
    /// The hub does not have it.
    Gone,
}

/// Does some work with a hub's objects; gives up when the hub is away.
pub(in crate::executor::kubernetes) async fn with_hub<T: Send + 'static>(
    cluster: &Cluster,
    found: &service::Found,
    store: &str,
    work: impl FnOnce(&HubObjects) -> Result<T, StoreError> + Send + 'static,
) -> Result<Result<T, StoreError>, ClusterError> {
    let (heard, mut events) = unbounded_channel();
    let hub = reach_hub(cluster, found, store, Box::new(move |event| drop(heard.send(event))))?;
    let objects: Arc<HubObjects> = hub.objects.clone();
    let mut working = tokio::task::spawn_blocking(move || work(&objects));
    let mut away = Some((Instant::now(), "no connection stands".to_owned()));
    loop {
        let until = away.as_ref().map_or_else(|| Instant::now() + PATIENCE, |(since, _)| *since + PATIENCE);
        tokio::select! {
            done = &mut working => {
                return done.map_err(|e| ClusterError::Io { doing: "objects", source: std::io::Error::other(e) });
            }
            Some(event) = events.recv() => match event {
                HubEvent::Stands => away = None,
                HubEvent::Broken(reason) => {
                    let since = away.take().map_or_else(Instant::now, |(since, _)| since);
                    away = Some((since, reason));
                }
                HubEvent::Refused(reason) => return Err(lost(cluster, reason)),
                HubEvent::Message(_) | HubEvent::Agent { .. } | HubEvent::Store(_) | HubEvent::Disk(_) => {}
            },
            () = tokio::time::sleep_until(until) => if let Some((_, reason)) = away {
                // What waits for an answer gets none.
                hub.objects.over(&reason);
                return Err(lost(cluster, reason));
            },
        }
    }
}

fn lost(cluster: &Cluster, reason: String) -> ClusterError {
    ClusterError::Hub { name: "tidegate-hub".to_owned(), namespace: cluster.namespace.clone(), reason }
}

/// Fetches a tree from the hub beside the engine, as far as it is not in the store yet.
pub fn fetch_tree(store_id: &str, tree: &str, into: Arc<FileObjects>) -> Result<Fetched, ClusterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime =
        runtime.map_err(|source| ClusterError::Io { doing: "starting the connection to the hub", source })?;
    let artifact = ArtifactRef { digest: tree.to_owned(), tree: true, ..ArtifactRef::default() };
    let done = runtime.block_on(async {
        let cluster = Cluster::connect(None, None).await?;
        let found = service::reach(&cluster).await?;
        with_hub(&cluster, &found, store_id, move |objects| objects.pull(&artifact, &into)).await
    });
    runtime.shutdown_background();
    match done? {
        Ok(()) => Ok(Fetched::All),
        Err(StoreError::Missing(_)) => Ok(Fetched::Gone),
        Err(error) => Err(ClusterError::Io { doing: "the run's tree", source: std::io::Error::other(error) }),
    }
}
