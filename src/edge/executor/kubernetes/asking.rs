//! Work with the objects of a namespace's hub, outside of any run.

use super::cluster::Cluster;
use super::detached::with_hub;
use super::error::ClusterError;
use super::service;
use crate::hub::HubObjects;
use crate::store::StoreError;

/// Does some work with the objects of a namespace's hub, under the name of a store or a run; `None`: there is no hub. Work
/// that the hub does not answer any more goes on by itself until it has noticed.
pub fn with_hub_objects<T: Send + 'static>(
    context: Option<&str>,
    namespace: Option<&str>,
    name: &str,
    work: impl FnOnce(&HubObjects) -> Result<T, StoreError> + Send + 'static,
) -> Result<Option<Result<T, StoreError>>, ClusterError> {
    // The connection to the hub is kept up beside.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime =
        runtime.map_err(|source| ClusterError::Io { doing: "starting the connection to the hub", source })?;
    let done = runtime.block_on(async {
        let cluster = Cluster::connect(context, namespace).await?;
        // Inside of the cluster by its Service's address.
        let found = match service::find(&cluster).await? {
            Some(_) if cluster.inside => service::reach(&cluster).await?,
            Some(found) => found,
            None => return Ok(None),
        };
        with_hub(&cluster, &found, name, work).await.map(Some)
    });
    runtime.shutdown_background();
    done
}
