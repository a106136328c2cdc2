//! Puts an engine up: its manifests are applied by the server, and its pod is waited for.

use super::exec::{Pods, engine_pod};
use super::manifests::NAME;
use crate::executor::kubernetes::cluster::Cluster;
use crate::executor::kubernetes::error::{ClusterError, api};
use crate::executor::kubernetes::service;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value as Json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Whose fields these are.
const FIELDS_OF: &str = "tidegate-install";
/// How long the engine may take to come up.
const PATIENCE: Duration = Duration::from_mins(2);

/// Applies manifests (server-side apply) in the namespace that the configuration names, and waits until an
/// engine runs if one is among them. `make` gets that namespace.
pub fn install(
    context: Option<&str>,
    namespace: Option<&str>,
    engine: bool,
    make: &dyn Fn(&str) -> Vec<Json>,
) -> Result<String, ClusterError> {
    let runtime = super::exec::runtime()?;
    runtime.block_on(async {
        let cluster = Cluster::connect(context, namespace).await?;
        for manifest in make(&cluster.namespace) {
            apply(&cluster, &manifest).await?;
        }
        if engine {
            up(&cluster).await?;
        }
        Ok(cluster.namespace)
    })
}

/// Waits until the engine that was asked for last runs and has put up its hub.
async fn up(cluster: &Cluster) -> Result<(), ClusterError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let reason = match (renewed(cluster).await?, engine_pod(cluster).await?) {
            (true, Pods::Runs(_)) if service::find(cluster).await?.is_some() => return Ok(()),
            (true, Pods::Runs(_)) => "it has not put up the hub yet".to_owned(),
            (false, Pods::Runs(_)) => "the former one has not gone yet".to_owned(),
            (_, Pods::Waits(reason)) => reason,
        };
        if Instant::now() >= until {
            return Err(ClusterError::EngineAway { namespace: cluster.namespace.clone(), reason });
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Whether the Deployment's pod is one of its newest form.
async fn renewed(cluster: &Cluster) -> Result<bool, ClusterError> {
    let found = cluster.deployments().get_opt(NAME).await;
    let found = found.map_err(|e| api("looking for the engine".to_owned(), e))?;
    Ok(found.is_some_and(|deployment| {
        let status = deployment.status.unwrap_or_default();
        status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas == Some(1)
            && status.replicas == Some(1)
    }))
}

async fn apply(cluster: &Cluster, manifest: &Json) -> Result<(), ClusterError> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("/kind"));
    let objects: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &ApiResource::from_gvk(&kind));
    let params = PatchParams::apply(FIELDS_OF).force();
    let name = text("/metadata/name");
    match objects.patch(name, &params, &Patch::Apply(manifest)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(api(format!("applying the {} {name}", text("/kind")), error)),
    }
}
