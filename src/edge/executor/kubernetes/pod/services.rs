//! `services:` as native sidecars: the steps start when each of them is healthy.

use super::volumes::mounts;
use serde_json::{Value as Json, json};
use tidegate_flow::job::{Health, JobSpec, ServiceSpec, service_labels};

/// The key of the attempt's Secret that holds a variable of a service.
pub fn secret_key_of(service: &str, variable: &str) -> String {
    format!("service.{service}.{variable}")
}

/// The names of the containers of a job's services, in their order.
pub(super) fn container_names(services: &[ServiceSpec]) -> Vec<String> {
    service_labels(services).into_iter().map(|label| format!("service-{label}")).collect()
}

/// The containers of a job's services. `secret` is the attempt's Secret.
pub(super) fn containers(spec: &JobSpec, secret: &str) -> Vec<Json> {
    let services = &spec.pod.services;
    let made = services.iter().zip(container_names(services));
    made.map(|(service, name)| container(spec, service, &name, secret)).collect()
}

fn container(spec: &JobSpec, service: &ServiceSpec, called: &str, secret: &str) -> Json {
    let env: Vec<Json> = service
        .env
        .iter()
        .map(|(name, value)| {
            if service.secret.contains(name) {
                let key = secret_key_of(&service.name, name);
                json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } })
            } else {
                json!({ "name": name, "value": value })
            }
        })
        .collect();
    let mut made = json!({
        "name": called,
        "image": service.image,
        "restartPolicy": "Always",
        "securityContext": { "allowPrivilegeEscalation": false },
    });
    let mut put = |name: &str, value: Json| {
        let empty = value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            made[name] = value;
        }
    };
    put("env", Json::Array(env));
    put("ports", service.ports.iter().map(|port| json!({ "containerPort": port })).collect());
    put("command", json!(service.entrypoint));
    put("args", json!(service.command));
    put("volumeMounts", Json::Array(mounts(spec, called, &service.volumes)));
    if let Some(health) = &service.health {
        put("startupProbe", probe(health));
    }
    if let Some(user) = service.user {
        made["securityContext"]["runAsUser"] = json!(user);
    }
    made
}

/// The names of services, which all stand for this very pod.
pub(super) fn aliases(services: &[ServiceSpec]) -> Json {
    let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
    json!([{ "ip": "127.0.0.1", "hostnames": names }])
}

/// Steps start when it has passed once (Kubernetes, "Startup probe" of a sidecar); Docker looks first
/// after one interval, a probe at once.
fn probe(health: &Health) -> Json {
    let seconds = |seconds: f64| super::job::seconds(seconds).max(1);
    let interval = health.interval_seconds.max(1.0);
    let tries = f64::from(health.retries) + (health.start_seconds / interval).ceil();
    json!({
        "exec": { "command": ["/bin/sh", "-c", health.command] },
        "periodSeconds": seconds(interval.min(2.0)),
        "timeoutSeconds": seconds(health.timeout_seconds),
        // One that never got healthy has nothing to finish; how it ends says that the kubelet ended it.
        "terminationGracePeriodSeconds": 1,
        // As long as Docker would go on, looked at more often.
        "failureThreshold": seconds(tries * interval / seconds_of(interval.min(2.0))),
    })
}

#[expect(clippy::cast_precision_loss, reason = "1 or 2")]
fn seconds_of(period: f64) -> f64 {
    super::job::seconds(period).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::{settings, with};
    use super::super::job_manifest;
    use super::*;
    use tidegate_flow::job::PodRequest;

    #[test]
    fn services_that_are_called_alike_have_containers_of_their_own() {
        let service = |name: &str| ServiceSpec {
            name: name.into(),
            image: "i".into(),
            volumes: vec!["/data".into()],
            ..ServiceSpec::default()
        };
        let long = "a".repeat(50);
        let services = vec![service(&format!("{long}x")), service(&format!("{long}y"))];
        let request = PodRequest { services, ..PodRequest::default() };
        let job = job_manifest(&with(request, 1), &settings(), "d", None).unwrap();
        let pod = &job["spec"]["template"]["spec"];
        for list in [&pod["initContainers"], &pod["volumes"]] {
            let names: Vec<&str> =
                list.as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
            let apart: std::collections::BTreeSet<&&str> = names.iter().collect();
            assert_eq!(apart.len(), names.len(), "{names:?}");
        }
    }
}
