//! What is remembered of Jobs and pods: a run may have ten thousand, and their specs are most of them.
//!
//! A field that `observe`, `images` or `ends` begins to read is added here.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A Job as far as it is read.
pub(super) fn job(job: Job) -> Job {
    let spec = job.spec.map(|spec| JobSpec { suspend: spec.suspend, ..JobSpec::default() });
    Job { metadata: metadata(job.metadata), spec, status: job.status }
}

/// A pod as far as it is read.
pub(super) fn pod(pod: Pod) -> Pod {
    let image = |c: Container| Container { name: c.name, image: c.image, ..Container::default() };
    let images = |all: Vec<Container>| all.into_iter().map(image).collect::<Vec<_>>();
    let spec = pod.spec.map(|spec| PodSpec {
        node_name: spec.node_name,
        containers: images(spec.containers),
        init_containers: spec.init_containers.map(images),
        ..PodSpec::default()
    });
    Pod { metadata: metadata(pod.metadata), spec, status: pod.status }
}

fn metadata(whole: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: whole.name,
        uid: whole.uid,
        creation_timestamp: whole.creation_timestamp,
        deletion_timestamp: whole.deletion_timestamp,
        ..ObjectMeta::default()
    }
}
