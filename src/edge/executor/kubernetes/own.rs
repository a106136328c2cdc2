//! What the manifests of Tidegate's own services have in common: the hub, the engine in the cluster. Pure.

use serde_json::{Value as Json, json};

/// The user that Tidegate's own image runs as: nobody's of any distribution.
pub(super) const USER: u32 = 65532;

/// Name, place and labels of something that belongs to the service `service`.
pub(super) fn metadata(service: &str, namespace: &str) -> Json {
    json!({ "name": service, "namespace": namespace, "labels": labels(service) })
}

/// Labels of all that belongs to a service.
pub(super) fn labels(service: &str) -> Json {
    json!({ "app.kubernetes.io/managed-by": "tidegate", "app.kubernetes.io/name": service })
}

/// A claim of a volume for one pod, called after its service.
pub(super) fn claim(service: &str, namespace: &str, size: &str, class: Option<&str>) -> Json {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": metadata(service, namespace),
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    claim
}

/// A Deployment of one pod; a new one starts when the old one is gone.
pub(super) fn deployment(service: &str, namespace: &str, pod: Json) -> Json {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(service, namespace),
        "spec": {
            "replicas": 1,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": { "app.kubernetes.io/name": service } },
            "template": { "metadata": { "labels": labels(service) }, "spec": pod },
        },
    })
}
