//! Where a pod may run: GPUs, spot nodes, queues.

use super::gpu::Gpu;
use super::merge::merge;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_flow::job::Spot;

/// How a cluster marks its spot nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpotNodes {
    /// Labels; a node with one of them is a spot node.
    pub labels: BTreeMap<String, String>,
    /// Taints that are tolerated, by key; the effect is any.
    #[serde(default)]
    pub taints: Vec<String>,
}

/// Karpenter, EKS, GKE and AKS, as their documentation says.
impl Default for SpotNodes {
    fn default() -> Self {
        let labels = [
            ("karpenter.sh/capacity-type", "spot"),
            ("eks.amazonaws.com/capacityType", "SPOT"),
            ("cloud.google.com/gke-spot", "true"),
            ("kubernetes.azure.com/scalesetpriority", "spot"),
        ];
        let taints = [
            "karpenter.sh/capacity-type",
            "cloud.google.com/gke-spot",
            "kubernetes.azure.com/scalesetpriority",
        ];
        Self {
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            taints: taints.map(str::to_owned).into(),
        }
    }
}

/// Adds to a pod what decides on which nodes it may run.
pub(super) fn schedule(pod: &mut Json, gpus: &[Gpu], spot: Option<Spot>, nodes: &SpotNodes) {
    let mut tolerations = Vec::new();
    let require = |pod: &mut Json, terms: Vec<Json>| {
        merge(
            pod,
            &json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms }
        } } }),
        );
    };
    for gpu in gpus {
        for key in gpu.taints() {
            let toleration = json!({ "key": key, "operator": "Exists", "effect": "NoSchedule" });
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
        if !gpu.labels.is_empty() {
            require(pod, vec![json!({ "matchExpressions": gpu.labels })]);
        }
    }
    if let Some(spot) = spot {
        tolerations.extend(nodes.taints.iter().map(|key| json!({ "key": key, "operator": "Exists" })));
        let terms = nodes.labels.iter().map(
            |(key, value)| json!({ "matchExpressions": [{ "key": key, "operator": "In", "values": [value] }] }),
        );
        match spot {
            Spot::Only => require(pod, terms.collect()),
            Spot::Preferred => {
                let terms: Vec<Json> =
                    terms.map(|term| json!({ "weight": 100, "preference": term })).collect();
                merge(
                    pod,
                    &json!({ "affinity": { "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": terms
                } } }),
                );
            }
        }
    }
    if !tolerations.is_empty() {
        pod["tolerations"] = Json::Array(tolerations);
    }
}
