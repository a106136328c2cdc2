//! What a pod may ask for: judged on the pod as it would be sent, whoever asked for it.
//!
//! Without a policy nothing here is allowed. It lies beside the engine or in the namespace, never in
//! the checkout, so that a change of the repository cannot widen it. Pure.

use serde::Deserialize;
use serde_json::{Value as Json, json};

/// What a cluster's owner allows, and demands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Every container drops all capabilities and runs as one user that is not root.
    #[serde(default)]
    pub restricted: Option<Restricted>,
    /// What templates may ask for beyond a plain pod.
    #[serde(default)]
    pub allow: Allow,
}

/// The policy `restricted` (Kubernetes, "Pod Security Standards").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restricted {
    /// The user of every container, not 0.
    #[serde(default = "nobody")]
    pub run_as: u32,
}

fn nobody() -> u32 {
    65532
}

/// What is allowed; everything else is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Allow {
    /// Privileged containers, and all that comes with them.
    #[serde(default)]
    pub privileged: bool,
    /// Folders of the node, with what is below them.
    #[serde(default)]
    pub host_path: Vec<String>,
    /// The node's network, and ports of the node.
    #[serde(default)]
    pub host_network: bool,
    /// The node's processes.
    #[serde(default, rename = "host-pid")]
    pub host_pid: bool,
    /// The node's shared memory.
    #[serde(default, rename = "host-ipc")]
    pub host_ipc: bool,
    /// Capabilities by name, such as `SYS_PTRACE`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Service accounts by name.
    #[serde(default)]
    pub service_accounts: Vec<String>,
    /// Secrets of the namespace by name; never those of Tidegate itself.
    #[serde(default)]
    pub secrets: Vec<String>,
}

impl Policy {
    /// Reads a policy file.
    pub fn read(text: &str) -> Result<Self, String> {
        let empty = text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
        let policy: Self =
            if empty { Self::default() } else { serde_yaml::from_str(text).map_err(|e| e.to_string())? };
        match &policy.restricted {
            Some(Restricted { run_as: 0 }) => Err("restricted.run-as: 0 is root".to_owned()),
            _ => Ok(policy),
        }
    }

    /// Makes a pod as the policy demands. What a template said otherwise is judged after this.
    pub(super) fn demand(&self, pod: &mut Json) {
        self.confine(pod);
        let Some(Restricted { run_as }) = &self.restricted else { return };
        let own = json!({ "runAsNonRoot": true, "runAsUser": run_as, "runAsGroup": run_as,
            "seccompProfile": { "type": "RuntimeDefault" } });
        super::merge::merge(&mut pod["securityContext"], &own);
        for list in ["initContainers", "containers"] {
            for container in pod[list].as_array_mut().into_iter().flatten() {
                let own = json!({ "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": run_as,
                    "runAsGroup": run_as, "capabilities": { "drop": ["ALL"] } });
                let context = &mut container["securityContext"];
                if context.is_null() {
                    *context = json!({});
                }
                super::merge::merge(context, &own);
            }
        }
    }

    /// Says what a cluster would take as wide as it goes where nothing is said: a template that takes a
    /// member away, or brings a container, gets no more by it.
    fn confine(&self, pod: &mut Json) {
        if pod["automountServiceAccountToken"].is_null() {
            pod["automountServiceAccountToken"] = json!(false);
        }
        if self.allow.privileged {
            return;
        }
        let context = object(&mut pod["securityContext"]);
        if context["seccompProfile"].is_null() {
            context["seccompProfile"] = json!({ "type": "RuntimeDefault" });
        }
        for list in ["initContainers", "containers"] {
            for container in pod[list].as_array_mut().into_iter().flatten() {
                let context = object(&mut container["securityContext"]);
                // Kubernetes takes the two together for a contradiction.
                if context["allowPrivilegeEscalation"].is_null() && context["capabilities"]["add"].is_null() {
                    context["allowPrivilegeEscalation"] = json!(false);
                }
            }
        }
    }
}

/// A member as an object, made where there is none.
fn object(member: &mut Json) -> &mut Json {
    if member.is_null() {
        *member = json!({});
    }
    member
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::{settings, spec};
    use super::super::{Template, job_manifest};

    #[test]
    fn what_a_template_takes_away_is_as_narrow_as_before() {
        let text = "spec:\n  automountServiceAccountToken: ~\n  securityContext: ~\n  containers: [{ name: steps, securityContext: ~ }, { name: side, image: x }]\n";
        let template = Some(Template { path: "t.yaml", text });
        let job = job_manifest(&spec(), &settings(), "d", template).unwrap();
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{container}");
        }
    }
}
