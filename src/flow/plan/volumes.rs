//! `volumes` of containers and services in pods: what is refused, and what has no effect.
//!
//! Not here: how a volume is written, and where none can be (`job::volume`).

use super::absent::Absent;
use super::measure;
use crate::job::{PodRequest, PodVolume, ResourceRequest, is_shared_memory, no_place, pod_volume};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Container, Job, JobKind, Resources};

/// That a volume is none that a pod has.
pub(super) fn no_folder(volume: &str) -> String {
    format!(
        "`{volume}`: a pod has no folder of the machine, only empty ones: `/path`, `name:/path` and `name:/path:ro`; \
         `pod-template` adds volumes of the cluster"
    )
}

/// What of a pod's volume is not carried out.
pub(super) fn no_effect(written: &str, volume: PodVolume<'_>) -> Option<String> {
    let options = volume.options;
    let other: Vec<&str> = options.split(',').filter(|o| !matches!(*o, "" | "ro" | "rw")).collect();
    (!other.is_empty()).then(|| format!("{} of `{written}` has no effect in a pod", other.join(",")))
}

/// What of the volumes of a container of steps is not carried out, as far as they are written without an expression. `key`:
/// of the container; `shm`: whether the job has [`resources.shm`](asks_for_memory). The second: one without a name is there,
/// which would only hide what the image has.
pub(super) fn written(key: &str, container: &Container, shm: bool) -> (Vec<Absent>, bool) {
    let (mut found, mut before, mut plain) = (Vec::new(), Vec::new(), false);
    let at = format!("{key}.volumes");
    for volume in container.volumes.iter().filter(|volume| volume.is_literal()) {
        let Some(given) = pod_volume(&volume.raw) else {
            // What lies in such a folder is data that the steps want.
            found.push(Absent::blocking(&*at, &no_folder(&volume.raw)));
            continue;
        };
        let words = no_effect(&volume.raw, given);
        found.extend(words.map(|words| Absent::harmless(&at, &words)));
        if given.name.is_none() {
            plain = true;
            continue;
        }
        let words = no_place(&volume.raw, &before).or_else(|| memory_twice(&volume.raw, shm));
        found.extend(words.map(|words| Absent::blocking(&*at, &words)));
        before.push(volume.raw.to_string());
    }
    (found, plain)
}

/// Tells whether a job, or a step of it, says `resources.shm` without an expression: it lies at `/dev/shm`.
pub(super) fn asks_for_memory(job: &Job) -> bool {
    let steps = match &job.kind {
        JobKind::Steps(steps) => steps.as_slice(),
        JobKind::Call(_) => &[],
    };
    let all = job.ml.resources.iter().chain(steps.iter().filter_map(|step| step.resources.as_ref()));
    let asks = |given: &Resources| {
        let shm = given.shm.as_ref().filter(|shm| shm.is_literal());
        let bytes = shm.map(|shm| measure::bytes("resources.shm", Some(&Value::from(&*shm.raw))));
        matches!(bytes, Some(Ok(bytes)) if bytes > 0)
    };
    all.into_iter().any(|given| asks(given))
}

/// The same of what is evaluated: why no pod can be made.
pub(super) fn fit(resources: &ResourceRequest, pod: &PodRequest) -> Result<(), String> {
    let of_steps = pod.steps.iter().filter_map(|step| step.resources.as_ref());
    let shm = std::iter::once(resources).chain(of_steps).any(|asked| asked.shm_bytes > 0);
    let containers = pod.container.iter().chain(pod.steps.iter().filter_map(|step| step.container.as_ref()));
    let mut volumes = containers.flat_map(|container| &container.volumes);
    let words = volumes.find_map(|volume| memory_twice(volume, shm));
    words.map_or(Ok(()), |words| Err(format!("`container.volumes`: {words}")))
}

fn memory_twice(volume: &str, shm: bool) -> Option<String> {
    (shm && is_shared_memory(volume)).then(|| {
        format!(
            "`{volume}`: `resources.shm` of this job lies there; leave one of them out, or give the volume another folder"
        )
    })
}
