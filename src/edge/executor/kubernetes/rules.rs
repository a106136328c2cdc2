//! The policy of a namespace: what its owner lets pods ask for.

use super::cluster::Cluster;
use super::error::{ClusterError, api};
use super::pod::Policy;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;

/// Name of the `ConfigMap`, and the key in it that holds the policy.
const NAME: &str = "tidegate-policy";
const KEY: &str = "policy.yaml";

/// Returns the policy that holds: the namespace's where it has one, else the engine's own. An engine
/// that may not look has its own, which allows nothing unless its machine says so.
pub(super) async fn policy(cluster: &Cluster, own: &Policy) -> Result<Policy, ClusterError> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let map = match maps.get_opt(NAME).await {
        Ok(Some(map)) => map,
        Ok(None) => return Ok(own.clone()),
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(own.clone()),
        Err(error) => return Err(api(format!("reading the ConfigMap {NAME}"), error)),
    };
    let text = map.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
    Policy::read(text)
        .map_err(|reason| ClusterError::Config(format!("{KEY} of the ConfigMap {NAME}: {reason}")))
}
