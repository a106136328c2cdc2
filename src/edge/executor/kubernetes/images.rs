//! Which images a pod's containers ran, as the cluster resolved them. Pure.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_flow::job::Alike;

/// What the pods of a run told of images so far, by node and name: a kubelet says within a second what a container runs,
/// and a short job has ended by then.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: BTreeMap<(String, String), String>,
    /// What was answered: thousands of instances run the same images.
    answers: Alike<BTreeMap<String, String>>,
}

impl Images {
    /// Takes over what a pod tells.
    pub(super) fn learn(&mut self, pod: &Pod) {
        let node = node(pod);
        for container in containers(pod) {
            if let (Some(found), Some(image)) = (status(pod, &container.name).map(resolved), &container.image)
            {
                self.known.entry((node.to_owned(), image.clone())).insert_entry(found);
            }
        }
    }

    /// Image by container, with the digest that the node pulled; the agent's own is not the run's. What the pod does not
    /// say yet is as in the pods before it on that node.
    pub(super) fn of(&mut self, pod: &Pod) -> Resolved {
        let (mut images, mut whole) = (BTreeMap::new(), true);
        for container in containers(pod) {
            let told = status(pod, &container.name).map(resolved);
            let name = container.image.clone().unwrap_or_default();
            let digest = || name.contains('@').then(|| name.clone());
            let before = || self.known.get(&(node(pod).to_owned(), name.clone())).cloned();
            match told.or_else(digest).or_else(before) {
                Some(image) => drop(images.insert(container.name.clone(), image)),
                None => whole = false,
            }
        }
        Resolved { images: self.answers.shared(images), whole }
    }
}

/// What is known of the images of one pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Image by container.
    pub(super) images: Arc<BTreeMap<String, String>>,
    /// That of no container is missing.
    pub(super) whole: bool,
}

/// Tells whether the cluster will say nothing more of the pod's containers.
pub(super) fn is_final(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    all.filter(|container| container.name != "agent")
}

/// The status of a container whose image is known.
fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.init_container_statuses, &status.container_statuses];
    all.into_iter().flatten().flatten().find(|s| s.name == name && !s.image_id.is_empty())
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
        let spec = json!({"nodeName": "n", "initContainers": [{"name": "agent", "image": "t:1"}, {"name": "service-db", "image": "pg:16"}],
            "containers": [{"name": "steps", "image": "test/busybox:1"}, {"name": "later", "image": "x"}]});
        let pod: Pod = serde_json::from_value(json!({"spec": spec, "status": {
            "initContainerStatuses": [status("agent", "t:1", "t@sha256:0"), status("service-db", "pg:16", "docker-pullable://docker.io/library/pg@sha256:aa")],
            "containerStatuses": [status("steps", "docker.io/test/busybox:1", "sha256:bb"), status("later", "x", "")],
        }}))
        .unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let known = [
            pair("service-db", "docker.io/library/pg@sha256:aa"),
            pair("steps", "docker.io/test/busybox:1@sha256:bb"),
        ];
        let mut images = Images::default();
        assert_eq!(
            images.of(&pod),
            Resolved { images: Arc::new(BTreeMap::from(known.clone())), whole: false }
        );
        // The next pod has ended before its node said anything.
        images.learn(&pod);
        let mut silent = Pod { status: None, ..pod };
        assert_eq!(*images.of(&silent).images, BTreeMap::from(known));
        silent.spec.as_mut().unwrap().node_name = Some("another".to_owned());
        assert_eq!(images.of(&silent), Resolved { images: Arc::default(), whole: false });
    }
}
