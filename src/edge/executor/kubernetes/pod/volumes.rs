//! `volumes` of services and containers: empty folders that live as long as the pod. One name is one folder, whichever
//! containers mount it, as it is with docker's named volumes.

use super::services::container_names;
use serde_json::{Value as Json, json};
use tidegate_flow::job::{JobSpec, pod_volume, step_containers};

/// All volumes of a job as they are written, with the containers that mount them.
fn all(spec: &JobSpec) -> Vec<(String, Vec<String>)> {
    let services = spec.pod.services.iter().zip(container_names(&spec.pod.services));
    let services = services.map(|(service, name)| (name, service.volumes.clone()));
    let steps = step_containers(spec).into_iter();
    let steps = steps.map(|part| (part.name, part.container.map(|own| own.volumes).unwrap_or_default()));
    services.chain(steps).collect()
}

/// Names of volumes in the order in which they come; a pod's own names for them are numbers, since docker's may be longer.
fn names(spec: &JobSpec) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, written) in all(spec) {
        for name in written.iter().filter_map(|written| pod_volume(written)?.name) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

fn own_name(container: &str, index: usize) -> String {
    format!("{container}-{index}")
}

/// The volumes of a job's pod.
pub(super) fn volumes(spec: &JobSpec) -> Vec<Json> {
    let mut made: Vec<String> = (0..names(spec).len()).map(|index| own_name("volume", index)).collect();
    for (container, written) in all(spec) {
        let own = (0_usize..).zip(&written).filter(|(_, w)| pod_volume(w).is_some_and(|v| v.name.is_none()));
        made.extend(own.map(|(index, _)| own_name(&container, index)));
    }
    made.into_iter().map(|name| json!({ "name": name, "emptyDir": {} })).collect()
}

/// What a container mounts of them.
pub(super) fn mounts(spec: &JobSpec, container: &str, written: &[String]) -> Vec<Json> {
    if written.is_empty() {
        return Vec::new();
    }
    let names = names(spec);
    let mount = |(index, written): (usize, &String)| {
        let volume = pod_volume(written)?;
        let name = match volume.name {
            Some(name) => own_name("volume", names.iter().position(|known| known == name)?),
            None => own_name(container, index),
        };
        let mut made = json!({ "name": name, "mountPath": volume.path });
        if volume.read_only {
            made["readOnly"] = json!(true);
        }
        Some(made)
    };
    (0_usize..).zip(written).filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::{settings, with};
    use super::super::job_manifest;
    use tidegate_flow::job::{ContainerSpec, PodRequest, ServiceSpec, StepPlace};

    #[test]
    fn one_name_is_one_folder_in_all_containers_that_name_it() {
        let words = |volumes: &[&str]| volumes.iter().map(|&v| v.to_owned()).collect::<Vec<_>>();
        let service = |name: &str, volumes: &[&str]| ServiceSpec {
            name: name.into(),
            image: "i".into(),
            volumes: words(volumes),
            ..ServiceSpec::default()
        };
        let container =
            |volumes: &[&str]| ContainerSpec { volumes: words(volumes), ..ContainerSpec::default() };
        let request = PodRequest {
            services: vec![
                service("a", &["/tmp/a", "data:/var/lib/a"]),
                service("b", &["more:/more", "data:/in:ro"]),
            ],
            steps: vec![StepPlace {
                step: 1,
                image: Some("own".into()),
                container: Some(container(&["data:/d:ro"])),
                ..StepPlace::default()
            }],
            container: Some(container(&["more:/m"])),
            ..PodRequest::default()
        };
        let job = job_manifest(&with(request, 2), &settings(), "d", None).unwrap();
        let pod = &job["spec"]["template"]["spec"];
        let names: Vec<&str> =
            pod["volumes"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
        for name in ["volume-0", "volume-1", "service-a-0"] {
            assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{names:?}");
        }
        let of = |list: &str, name: &str| {
            let mut all = pod[list].as_array().unwrap().iter();
            let container = all.find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}"));
            let mounts = container["volumeMounts"].as_array().unwrap().iter();
            let ours =
                mounts.filter(|m| m["mountPath"].as_str().is_some_and(|p| !p.starts_with("/run/tidegate")));
            let mut said: Vec<String> = ours
                .map(|m| {
                    format!(
                        "{} {} {}",
                        m["name"].as_str().unwrap(),
                        m["mountPath"].as_str().unwrap(),
                        m["readOnly"]
                    )
                })
                .collect();
            said.retain(|m| !m.contains("/dev/shm"));
            said
        };
        assert_eq!(
            of("initContainers", "service-a"),
            ["service-a-0 /tmp/a null", "volume-0 /var/lib/a null"]
        );
        assert_eq!(of("initContainers", "service-b"), ["volume-1 /more null", "volume-0 /in true"]);
        assert_eq!(of("initContainers", "steps-1"), ["volume-1 /m null"]);
        assert_eq!(of("containers", "steps"), ["volume-0 /d true"]);
    }
}
