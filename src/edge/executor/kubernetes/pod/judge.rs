//! What of a pod a policy does not allow: judged on the pod as it would be sent, whoever asked for it. Pure.

use super::finding::Segment;
use super::own::{Own, is_name, is_secret};
use super::policy::{Policy, Restricted};
use serde_json::{Value as Json, json};

impl Policy {
    /// Says what of a pod the policy does not allow: where, and in words. `own` is what the engine gave it.
    pub(super) fn judge(&self, pod: &Json, own: &Own) -> Vec<(Vec<Segment>, String)> {
        let mut found = Found { policy: self, own, refused: Vec::new() };
        found.pod(pod);
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            for container in pod[list].as_array().into_iter().flatten() {
                let name = container["name"].as_str().unwrap_or_default();
                let at = vec![key("spec"), key(list), item("name", name)];
                found.container(&at, container, list == "initContainers" && name == "agent");
                found.variables(&at, container, list == "initContainers");
            }
        }
        found.refused
    }
}

struct Found<'a> {
    policy: &'a Policy,
    own: &'a Own,
    refused: Vec<(Vec<Segment>, String)>,
}

fn key(name: &str) -> Segment {
    Segment::Key(name.to_owned())
}

fn item(key: &'static str, value: &str) -> Segment {
    Segment::Item { key, value: value.to_owned() }
}

fn below(at: &[Segment], more: &[&str]) -> Vec<Segment> {
    at.iter().cloned().chain(more.iter().map(|name| key(name))).collect()
}

/// Volumes that only the agent mounts: its log and the attempt's secrets.
const AGENTS: [&str; 2] = ["own", "secret"];

impl Found<'_> {
    fn no(&mut self, at: Vec<Segment>, what: impl Into<String>) {
        self.refused.push((at, format!("the policy does not allow {}", what.into())));
    }

    fn pod(&mut self, pod: &Json) {
        let allow = &self.policy.allow;
        let spec = [key("spec")];
        let flags = [
            ("hostNetwork", allow.host_network, "the node's network"),
            ("hostPID", allow.host_pid, "the node's processes"),
            ("hostIPC", allow.host_ipc, "the node's shared memory"),
            ("shareProcessNamespace", false, "processes that see the agent's"),
            ("automountServiceAccountToken", false, "a token of the cluster"),
        ];
        let account = pod["serviceAccountName"].as_str().or_else(|| pod["serviceAccount"].as_str());
        let known = account.is_some_and(|name| allow.service_accounts.iter().any(|a| a == name));
        for (name, allowed, words) in flags {
            let allowed = allowed || (name == "automountServiceAccountToken" && known);
            if pod[name] == json!(true) && !allowed {
                self.no(below(&spec, &[name]), words);
            }
        }
        if let Some(account) = account.filter(|_| !known) {
            self.no(below(&spec, &["serviceAccountName"]), format!("the service account `{account}`"));
        }
        if !pod["ephemeralContainers"].is_null() {
            self.no(below(&spec, &["ephemeralContainers"]), "ephemeral containers");
        }
        self.security(&below(&spec, &["securityContext"]), &pod["securityContext"]);
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or_default();
            let at = [key("spec"), key("volumes"), item("name", name)];
            self.volume(&at, volume);
        }
        // A registry's credentials are not seen in the pod, but used.
        for pull in pod["imagePullSecrets"].as_array().into_iter().flatten() {
            let name = pull["name"].as_str().unwrap_or_default();
            if is_secret(name) && name != self.own.pull_secret {
                let at = [key("spec"), key("imagePullSecrets"), item("name", name)];
                self.no(at.to_vec(), format!("the Secret `{name}`"));
            }
        }
    }

    fn volume(&mut self, at: &[Segment], volume: &Json) {
        let name = volume["name"].as_str().unwrap_or_default();
        if let Some(path) = volume.pointer("/hostPath/path").and_then(Json::as_str) {
            let inside = |allowed: &String| {
                let allowed = allowed.trim_end_matches('/');
                path == allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with('/'))
            };
            let climbs = path.split('/').any(|part| part == "..");
            if climbs || !self.policy.allow.host_path.iter().any(inside) {
                self.no(below(at, &["hostPath"]), format!("the node's folder {path}"));
            }
        }
        if let Some(secret) = volume.pointer("/secret/secretName").and_then(Json::as_str)
            && !(name == "secret" && secret == self.own.secret)
        {
            self.secret(&below(at, &["secret"]), secret);
        }
        // As they are, or as what a new volume starts from.
        let fresh = "ephemeral/volumeClaimTemplate/spec";
        let claims = [
            "persistentVolumeClaim/claimName",
            &format!("{fresh}/dataSource/name"),
            &format!("{fresh}/dataSourceRef/name"),
        ]
        .map(|path| volume.pointer(&format!("/{path}")).and_then(Json::as_str));
        for claim in claims.into_iter().flatten().filter(|claim| is_name(claim)) {
            self.no(at.to_vec(), format!("the claim `{claim}`"));
        }
        if !volume["gitRepo"].is_null() {
            self.no(below(at, &["gitRepo"]), "a volume for which the node runs git");
        }
        for source in volume.pointer("/projected/sources").and_then(Json::as_array).into_iter().flatten() {
            if !source["serviceAccountToken"].is_null() && self.policy.allow.service_accounts.is_empty() {
                self.no(below(at, &["projected"]), "a token of the cluster");
            }
            if let Some(secret) = source.pointer("/secret/name").and_then(Json::as_str) {
                self.secret(&below(at, &["projected"]), secret);
            }
        }
        // Other ways to name a Secret hand it to a driver of the node.
        for driver in ["azureFile", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "csi"] {
            let refs = ["secretName", "secretRef", "nodePublishSecretRef"];
            if refs.iter().any(|r| !volume[driver][*r].is_null()) {
                self.no(below(at, &[driver]), "a volume that reads a Secret");
            }
        }
    }

    fn secret(&mut self, at: &[Segment], name: &str) {
        if is_secret(name) || !self.policy.allow.secrets.iter().any(|allowed| allowed == name) {
            self.no(at.to_vec(), format!("the Secret `{name}`"));
        }
    }

    fn container(&mut self, at: &[Segment], container: &Json, agent: bool) {
        self.security(&below(at, &["securityContext"]), &container["securityContext"]);
        if !self.policy.allow.host_network {
            for port in container["ports"].as_array().into_iter().flatten() {
                if port["hostPort"].as_u64().is_some_and(|p| p > 0) {
                    self.no(below(at, &["ports"]), "ports of the node");
                }
            }
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten().filter(|_| !agent) {
            let volume = mount["name"].as_str().unwrap_or_default();
            if AGENTS.contains(&volume) {
                self.no(below(at, &["volumeMounts"]), format!("the agent's own volume `{volume}`"));
            }
        }
        for device in container["volumeDevices"].as_array().into_iter().flatten() {
            let volume = device["name"].as_str().unwrap_or_default();
            if AGENTS.contains(&volume) {
                self.no(below(at, &["volumeDevices"]), format!("the agent's own volume `{volume}`"));
            }
        }
    }

    /// Secrets that a container has as variables. Those of the attempt's own that the engine gave to a
    /// service, it has; `init`: services are init containers.
    fn variables(&mut self, at: &[Segment], container: &Json, init: bool) {
        let name = container["name"].as_str().unwrap_or_default();
        for variable in container["env"].as_array().into_iter().flatten() {
            let Some(read) = variable.pointer("/valueFrom/secretKeyRef") else { continue };
            let (secret, key) = (read["name"].as_str().unwrap_or_default(), &read["key"]);
            if !(init && self.own.gave(name, secret, key.as_str().unwrap_or_default())) {
                self.secret(&below(at, &["env"]), secret);
            }
        }
        for whole in container["envFrom"].as_array().into_iter().flatten() {
            if let Some(secret) = whole.pointer("/secretRef/name").and_then(Json::as_str) {
                self.secret(&below(at, &["envFrom"]), secret);
            }
        }
    }

    /// The security context of a pod or a container.
    fn security(&mut self, at: &[Segment], context: &Json) {
        let allow = &self.policy.allow;
        let mut wrong: Vec<(&str, String)> = Vec::new();
        if context["privileged"] == json!(true) && !allow.privileged {
            wrong.push(("privileged", "privileged containers".to_owned()));
        }
        if context["allowPrivilegeEscalation"] == json!(true) && !allow.privileged {
            wrong.push(("allowPrivilegeEscalation", "programs that gain rights".to_owned()));
        }
        for capability in context.pointer("/capabilities/add").and_then(Json::as_array).into_iter().flatten()
        {
            let name = capability.as_str().unwrap_or_default();
            let name = name.strip_prefix("CAP_").unwrap_or(name);
            let allowed = allow.capabilities.iter().any(|a| a.strip_prefix("CAP_").unwrap_or(a) == name);
            if !allow.privileged && !allowed {
                wrong.push(("capabilities", format!("the capability {name}")));
            }
        }
        for profile in ["seccompProfile", "appArmorProfile"] {
            if context[profile]["type"] == json!("Unconfined") && !allow.privileged {
                wrong.push((profile, "containers without the runtime's confinement".to_owned()));
            }
        }
        if context["procMount"].as_str().is_some_and(|m| m != "Default") && !allow.privileged {
            wrong.push(("procMount", "an unmasked /proc".to_owned()));
        }
        if context.pointer("/windowsOptions/hostProcess") == Some(&json!(true)) && !allow.privileged {
            wrong.push(("windowsOptions", "processes of the node".to_owned()));
        }
        if context["sysctls"].as_array().is_some_and(|s| !s.is_empty()) && !allow.privileged {
            wrong.push(("sysctls", "kernel settings".to_owned()));
        }
        if !context["seLinuxOptions"].is_null() && !allow.privileged {
            wrong.push(("seLinuxOptions", "another SELinux label".to_owned()));
        }
        if let Some(Restricted { run_as }) = &self.policy.restricted {
            let user = context["runAsUser"].as_u64();
            if user.is_some_and(|user| user != u64::from(*run_as)) {
                wrong.push(("runAsUser", format!("a user other than {run_as}")));
            }
            if context["runAsNonRoot"] == json!(false) {
                wrong.push(("runAsNonRoot", "root".to_owned()));
            }
        }
        for (name, words) in wrong {
            self.no(below(at, &[name]), words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::written;
    use super::*;

    /// An attempt's own: the Secret `tg-me`, of which the service `db` reads one entry.
    fn own() -> Own {
        Own {
            secret: "tg-me".to_owned(),
            pull_secret: "tg-me-pull".to_owned(),
            given: vec![("service-db".to_owned(), "service.db.PW".to_owned())],
        }
    }

    fn judged(policy: &str, pod: &Json) -> Vec<String> {
        let policy = Policy::read(policy).unwrap();
        policy
            .judge(pod, &own())
            .into_iter()
            .map(|(at, words)| format!("{}: {words}", written(&at)))
            .collect()
    }

    #[test]
    fn nothing_is_allowed_that_no_policy_allows() {
        let own = |more: Json| {
            let mut container = json!({"name": "steps", "image": "i"});
            super::super::merge::merge(&mut container, &more);
            json!({"containers": [container]})
        };
        let table = [
            (
                "{privileged: true}",
                own(json!({"securityContext": {"privileged": true}})),
                "spec.containers[steps].securityContext.privileged",
            ),
            (
                "{privileged: true}",
                own(json!({"securityContext": {"allowPrivilegeEscalation": true}})),
                "allowPrivilegeEscalation",
            ),
            (
                "{capabilities: [SYS_PTRACE]}",
                own(json!({"securityContext": {"capabilities": {"add": ["CAP_SYS_PTRACE"]}}})),
                "the capability SYS_PTRACE",
            ),
            (
                "{privileged: true}",
                own(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
                "confinement",
            ),
            ("{privileged: true}", own(json!({"securityContext": {"procMount": "Unmasked"}})), "/proc"),
            (
                "{host-network: true}",
                own(json!({"ports": [{"containerPort": 1, "hostPort": 2}]})),
                "ports of the node",
            ),
            ("{host-network: true}", json!({"hostNetwork": true}), "spec.hostNetwork"),
            ("{host-pid: true}", json!({"hostPID": true}), "spec.hostPID"),
            ("{host-ipc: true}", json!({"hostIPC": true}), "spec.hostIPC"),
            (
                "{host-path: [/mnt/data]}",
                json!({"volumes": [{"name": "v", "hostPath": {"path": "/mnt/data/x"}}]}),
                "spec.volumes[v].hostPath: the policy does not allow the node's folder /mnt/data/x",
            ),
            (
                "{service-accounts: [t]}",
                json!({"serviceAccountName": "t", "automountServiceAccountToken": true}),
                "spec.serviceAccountName",
            ),
            (
                "{secrets: [s]}",
                json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
                "the Secret `s`",
            ),
            ("{secrets: [s]}", own(json!({"envFrom": [{"secretRef": {"name": "s"}}]})), "the Secret `s`"),
            (
                "{secrets: [s]}",
                own(
                    json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                ),
                "the Secret `s`",
            ),
        ];
        for (allow, pod, words) in table {
            let refused = judged("", &pod);
            assert!(refused.iter().any(|r| r.contains(words)), "{pod}: {refused:?}");
            assert_eq!(judged(&format!("allow: {allow}"), &pod), Vec::<String>::new(), "{allow}");
        }
    }

    #[test]
    fn what_is_tidegates_own_is_never_given() {
        let all = "allow: {privileged: true, secrets: [tidegate-hub, tidegate-store, tg-x, tg-me], host-path: [/mnt]}";
        let reads = |container: &str, secret: &str, key: &str| {
            json!({"initContainers": [{"name": container, "restartPolicy": "Always",
                "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}]}]})
        };
        assert_eq!(judged(all, &reads("service-db", "tg-me", "service.db.PW")), Vec::<String>::new());
        assert_eq!(
            judged(
                all,
                &json!({"volumes": [{"name": "secret", "secret": {"secretName": "tg-me"}}],
            "imagePullSecrets": [{"name": "tg-me-pull"}, {"name": "regcred"}],
            "initContainers": [{"name": "agent", "volumeMounts": [{"name": "secret", "mountPath": "/s"}]}]})
            ),
            Vec::<String>::new()
        );
        let table = [
            // Another attempt's, its own by another way, or by one who is not the service.
            reads("spy", "tg-x", "secrets.json"),
            reads("service-db", "tg-x", "service.db.PW"),
            reads("service-db", "tg-me", "secrets.json"),
            reads("spy", "tg-me", "service.db.PW"),
            json!({"containers": [{"name": "service-db",
                "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "tg-me", "key": "service.db.PW"}}}]}]}),
            json!({"initContainers": [{"name": "service-db", "restartPolicy": "Always", "envFrom": [{"secretRef": {"name": "tg-me"}}]}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "tg-me"}}]}),
            json!({"volumes": [{"name": "secret", "secret": {"secretName": "tg-x"}}]}),
            json!({"imagePullSecrets": [{"name": "tg-x-pull"}]}),
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "tidegate-hub"}}]}),
            json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "tidegate-engine"}}}}}]}),
            json!({"volumes": [{"name": "v", "gitRepo": {"repository": "x"}}]}),
            json!({"containers": [{"name": "agent", "volumeMounts": [{"name": "secret", "mountPath": "/s"}]}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "tidegate-store"}}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "tidegate-run-7"}}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "tidegate-hub"}}]}),
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "tg-x"}}]}}]}),
            json!({"containers": [{"name": "steps", "volumeMounts": [{"name": "secret", "mountPath": "/s"}]}]}),
            json!({"shareProcessNamespace": true}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/mnt/../etc"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/mnt2"}}]}),
            json!({"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "tidegate-hub"}}}]}),
        ];
        for pod in table {
            assert_eq!(judged(all, &pod).len(), 1, "{pod}");
        }
    }

    #[test]
    fn restricted_is_demanded_and_kept() {
        let policy = Policy::read("restricted: {run-as: 1000}").unwrap();
        let mut pod = json!({"securityContext": {"fsGroup": 1}, "containers": [{"name": "steps"}],
            "initContainers": [{"name": "agent", "securityContext": {"runAsUser": 65532}}]});
        policy.demand(&mut pod);
        for pointer in ["/containers/0/securityContext", "/initContainers/0/securityContext"] {
            let context = pod.pointer(pointer).unwrap();
            assert_eq!(context["runAsUser"], 1000);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        }
        assert_eq!(pod["securityContext"]["fsGroup"], 1);
        assert!(policy.judge(&pod, &own()).is_empty());
        pod["containers"][0]["securityContext"]["runAsUser"] = json!(0);
        assert_eq!(policy.judge(&pod, &own()).len(), 1);
        assert!(Policy::read("restricted: {run-as: 0}").is_err());
        assert!(Policy::read("allow: {hostpath: [/]}").unwrap_err().contains("hostpath"));
    }
}
