//! `services:` as native sidecars: the steps start when each of them is healthy.

use serde_json::{Value as Json, json};
use tidegate_flow::job::{Health, ServiceSpec};

/// The key of the attempt's Secret that holds a variable of a service.
pub fn secret_key_of(service: &str, variable: &str) -> String {
    format!("service.{service}.{variable}")
}

/// The container of a service. `secret` is the attempt's Secret.
pub(super) fn container(service: &ServiceSpec, secret: &str) -> Json {
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
        "name": container_name(&service.name),
        "image": service.image,
        "imagePullPolicy": "IfNotPresent",
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
    let mounts = (0..)
        .zip(&service.volumes)
        .map(|(index, path)| json!({ "name": volume_name(&service.name, index), "mountPath": path }));
    put("volumeMounts", mounts.collect());
    if let Some(health) = &service.health {
        put("startupProbe", probe(health));
    }
    if let Some(user) = service.user {
        made["securityContext"]["runAsUser"] = json!(user);
    }
    made
}

/// The volumes of a service: empty folders that live as long as the pod.
pub(super) fn volumes(service: &ServiceSpec) -> impl Iterator<Item = Json> {
    (0..service.volumes.len())
        .map(|index| json!({ "name": volume_name(&service.name, index), "emptyDir": {} }))
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

fn container_name(service: &str) -> String {
    format!("service-{}", slug(service))
}

fn volume_name(service: &str, index: usize) -> String {
    format!("service-{}-{index}", slug(service))
}

/// A name as a DNS label.
fn slug(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().take(40).map(clean).collect::<String>().trim_matches('-').to_owned()
}
