//! What an engine in a cluster is made of: its account with no right too many, its store, its Deployment;
//! and the rights of people who hand runs over to it, or whose own machine is the engine. Pure.

use crate::executor::kubernetes::HubSettings;
use crate::executor::kubernetes::own::{self, USER, claim, labels};
use crate::executor::kubernetes::rights::{named_rule, outside_rules, rule};
use serde_json::{Value as Json, json};

/// Name of everything that is the engine's.
pub(super) const NAME: &str = "tidegate-engine";
/// Where its store is.
const FOLDER: &str = "/var/lib/tidegate";

/// Where the engine keeps its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// On a volume that outlives its pod.
    Volume {
        /// How large, as Kubernetes writes it: `10Gi`.
        size: String,
        /// The storage class; `None`: the cluster's own.
        class: Option<String>,
    },
    /// In its pod: a pod that is gone takes the logs of its runs along.
    Pod,
}

/// What is put up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The namespace.
    pub namespace: String,
    /// Tidegate's own image.
    pub image: String,
    /// Secrets of the namespace that it is pulled with.
    pub pull_secrets: Vec<String>,
    /// Where the store is.
    pub kept: Kept,
    /// How the hub keeps things that the engine puts up.
    pub hub: HubSettings,
    /// What only runs needed that ended longer ago than this is removed: `30d`; `None`: as the engine does by itself.
    pub keep: Option<String>,
}

/// Returns the manifests of an engine, in the order in which they are applied.
pub fn engine_manifests(made: &Installation) -> Vec<Json> {
    let mut all = vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": metadata(NAME, &made.namespace),
            // What may be mounted is said in the pod.
            "automountServiceAccountToken": false,
        }),
        role(NAME, &made.namespace, &engine_rules(&made.hub)),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": metadata(NAME, &made.namespace),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": made.namespace }],
        }),
    ];
    if let Kept::Volume { size, class } = &made.kept {
        all.push(claim(NAME, &made.namespace, size, class.as_deref()));
    }
    all.push(deployment(made));
    all
}

/// Returns the Role of people who hand runs over and look at them, for whoever binds it.
pub fn user_manifests(namespace: &str) -> Vec<Json> {
    let rules = json!([
        // A run is one Secret; the hub's own is the way to bring a tree.
        rule("", &["secrets"], &["create"]),
        named_rule("", "secrets", &["tidegate-hub"], &["get"]),
        rule("", &["pods"], &["list"]),
        // Which of the two verbs is asked for depends on the API server's release.
        rule("", &["pods/exec", "pods/portforward"], &["create", "get"]),
        named_rule("apps", "deployments", &[NAME], &["get"]),
    ]);
    vec![role("tidegate-user", namespace, &rules)]
}

/// Returns the Role of people, and of a CI's jobs, whose own machine is the engine of their runs.
pub fn runner_manifests(namespace: &str, hub: &HubSettings) -> Vec<Json> {
    vec![role("tidegate-runner", namespace, &outside_rules(hub.volume.is_some()))]
}

fn role(name: &str, namespace: &str, rules: &Json) -> Json {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": metadata(name, namespace),
        "rules": rules,
    })
}

/// Every right that the engine uses, and no other: a test holds both.
fn engine_rules(hub: &HubSettings) -> Json {
    let mut rules = vec![
        // Attempts.
        rule("batch", &["jobs"], &["create", "delete", "get", "list", "watch"]),
        rule("", &["pods"], &["deletecollection", "list", "watch"]),
        rule("", &["pods/log"], &["get"]),
        rule("", &["events"], &["list", "watch"]),
        // Why a queue lets one wait.
        rule("kueue.x-k8s.io", &["workloads"], &["list"]),
        // What attempts read, requests, the hub's identity.
        rule("", &["secrets"], &["create", "delete", "get", "list", "patch", "watch"]),
        // The hub, and names for attempts on several nodes.
        rule("", &["services"], &["create"]),
        named_rule("", "services", &["tidegate-hub"], &["get"]),
        rule("apps", &["deployments"], &["create"]),
        named_rule("apps", "deployments", &["tidegate-hub"], &["get"]),
        named_rule("", "configmaps", &["tidegate-policy"], &["get"]),
        // A right to create cannot be bound to a name.
        rule("coordination.k8s.io", &["leases"], &["create"]),
        named_rule("coordination.k8s.io", "leases", &[NAME], &["get", "update"]),
    ];
    if hub.volume.is_some() {
        rules.push(rule("", &["persistentvolumeclaims"], &["create"]));
    }
    Json::Array(rules)
}

fn metadata(name: &str, namespace: &str) -> Json {
    json!({ "name": name, "namespace": namespace, "labels": labels(NAME) })
}

fn deployment(made: &Installation) -> Json {
    let store = match made.kept {
        Kept::Volume { .. } => json!({ "name": "store", "persistentVolumeClaim": { "claimName": NAME } }),
        Kept::Pod => json!({ "name": "store", "emptyDir": {} }),
    };
    let pull: Vec<Json> = made.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let pod = json!({
        "serviceAccountName": NAME,
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "imagePullSecrets": pull,
        "securityContext": {
            "runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": true, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "volumes": [store, { "name": "tmp", "emptyDir": {} }],
        "containers": [container(made)],
    });
    own::deployment(NAME, &made.namespace, pod)
}

fn container(made: &Installation) -> Json {
    let pod = |field: &str| json!({ "fieldRef": { "fieldPath": field } });
    json!({
        "name": "engine",
        "image": made.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command(made),
        "workingDir": FOLDER,
        "env": [
            { "name": "TIDEGATE_STORE", "value": format!("{FOLDER}/store") },
            { "name": "TIDEGATE_HOLDER", "valueFrom": pod("metadata.uid") },
            { "name": "TMPDIR", "value": "/tmp" },
        ],
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" } },
        "securityContext": {
            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "store", "mountPath": FOLDER },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
    })
}

fn command(made: &Installation) -> Vec<&str> {
    let given = made.hub.options().map(|(option, value)| [option, value]);
    let keep = made.keep.as_deref().map(|keep| ["--keep", keep]);
    ["/tidegate", "engine", "--agent-image", &made.image]
        .into_iter()
        .chain(given.chain(keep).flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kept: Kept) -> Vec<Json> {
        let image = "ghcr.io/acme/tidegate:1".to_owned();
        engine_manifests(&Installation {
            namespace: "ml".to_owned(),
            image,
            pull_secrets: vec!["regcred".to_owned()],
            kept,
            hub: HubSettings {
                volume: Some("5Gi".to_owned()),
                store: Some("s3://models".to_owned()),
                pull_secrets: vec!["regcred".to_owned()],
                ..HubSettings::default()
            },
            keep: Some("7d".to_owned()),
        })
    }

    #[test]
    fn a_volume_is_claimed_only_where_it_is_wanted() {
        let kinds = |all: &[Json]| all.iter().map(|m| m["kind"].clone()).collect::<Vec<_>>();
        assert_eq!(kinds(&made(Kept::Pod)), ["ServiceAccount", "Role", "RoleBinding", "Deployment"]);
        let command = made(Kept::Pod)[3]["spec"]["template"]["spec"]["containers"][0]["command"].clone();
        let hub = json!([
            "--hub-volume",
            "5Gi",
            "--hub-store",
            "s3://models",
            "--hub-pull-secret",
            "regcred",
            "--keep",
            "7d"
        ]);
        assert_eq!(command.as_array().unwrap()[4..], hub.as_array().unwrap()[..], "{command}");
        let kept = made(Kept::Volume { size: "10Gi".to_owned(), class: Some("fast".to_owned()) });
        assert_eq!(kept[3]["kind"], "PersistentVolumeClaim");
        assert_eq!(kept[3]["spec"]["storageClassName"], "fast");
        assert_eq!(
            kept[4]["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
            NAME
        );
    }

    #[test]
    fn no_rule_has_a_star() {
        for manifest in made(Kept::Pod)
            .into_iter()
            .chain(user_manifests("ml"))
            .chain(runner_manifests("ml", &HubSettings::default()))
        {
            assert!(!manifest["rules"].to_string().contains('*'), "{manifest}");
        }
    }
}
