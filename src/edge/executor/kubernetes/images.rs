//! Which images a pod's containers ran, as the cluster resolved them. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeMap;

/// Image by container, with the digest that the node pulled; the agent's own is not the run's.
pub(super) fn images(pod: &Pod) -> BTreeMap<String, String> {
    let Some(status) = &pod.status else { return BTreeMap::new() };
    let all = [&status.init_container_statuses, &status.container_statuses];
    let statuses = all.into_iter().flatten().flatten();
    statuses
        .filter(|s| s.name != "agent" && !s.image_id.is_empty())
        .map(|s| (s.name.clone(), resolved(s)))
        .collect()
}

/// `NAME@DIGEST`. Kubelets write it with the runtime's scheme before it, or for an image that was never
/// pulled only the image's own digest.
fn resolved(status: &ContainerStatus) -> String {
    let id = status.image_id.rsplit("://").next().unwrap_or_default();
    if id.contains('@') {
        return id.to_owned();
    }
    let name = status.image.split('@').next().unwrap_or_default();
    format!("{name}@{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digests_of_every_kind() {
        let status = |name: &str, image: &str, id: &str| json!({"name": name, "image": image, "imageID": id, "ready": true, "restartCount": 0});
        let pod: Pod = serde_json::from_value(json!({"status": {
            "initContainerStatuses": [status("agent", "t:1", "t@sha256:0"), status("service-db", "pg:16", "docker-pullable://docker.io/library/pg@sha256:aa")],
            "containerStatuses": [status("steps", "docker.io/test/busybox:1", "sha256:bb"), status("later", "x", "")],
        }}))
        .unwrap();
        let found: Vec<(String, String)> = images(&pod).into_iter().collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found,
            [
                pair("service-db", "docker.io/library/pg@sha256:aa"),
                pair("steps", "docker.io/test/busybox:1@sha256:bb")
            ]
        );
    }
}
