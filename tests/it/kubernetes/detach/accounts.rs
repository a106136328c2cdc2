//! Accounts that have the rights of one Role, and an API server that writes down which of them they use.

use super::*;
use std::collections::BTreeSet;

/// An account of a namespace, and a kubeconfig with which somebody is it.
pub(super) struct Account {
    /// As the API server calls it.
    pub(super) name: String,
    kubeconfig: tempfile::NamedTempFile,
}

impl Account {
    /// One that may do nothing.
    pub(super) fn new(space: &Namespace, name: &str) -> Self {
        kubectl(&["-n", &space.0, "create", "serviceaccount", name]);
        let token = kubectl(&["-n", &space.0, "create", "token", name]);
        let mut config: Json =
            serde_json::from_str(&kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])).unwrap();
        config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), config.to_string()).unwrap();
        Self { name: format!("system:serviceaccount:{}:{name}", space.0), kubeconfig }
    }

    /// One with a Role.
    pub(super) fn with(space: &Namespace, name: &str, role: &str) -> Self {
        bind(space, name, role);
        Self::new(space, name)
    }

    /// The environment of a command of theirs.
    pub(super) fn env(&self) -> [(&str, &str); 1] {
        [("KUBECONFIG", self.kubeconfig.path().to_str().unwrap())]
    }
}

/// Gives an account a Role.
pub(super) fn bind(space: &Namespace, account: &str, role: &str) {
    let (role, who) = (format!("--role={role}"), format!("--serviceaccount={}:{account}", space.0));
    kubectl(&["-n", &space.0, "create", "rolebinding", account, &role, &who]);
}

/// A right, and the only object that it is about, if there is one.
pub(super) type Right = (String, Option<String>);

fn right(verb: &str, group: &str, resource: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// The rights of the Role that `tidegate install … --print` prints.
pub(super) fn printed(project: &Project, more: &[&str]) -> BTreeSet<Right> {
    let args = [&["install", "--print"], more].concat();
    let text = project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())]).code(0).stdout;
    let role = text.split("---\n").find(|document| document.contains("\nkind: Role\n")).unwrap();
    let role = read_yaml(role);
    let texts = |list: &Json| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names: Vec<_> = texts(&rule["resourceNames"]).into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for (resource, verb) in texts(&rule["resources"]).iter().zip(std::iter::repeat(texts(&rule["verbs"])))
        {
            for verb in verb {
                let right = right(&verb, rule["apiGroups"][0].as_str().unwrap(), resource);
                rights.extend(names.iter().map(|name| (right.clone(), name.clone())));
            }
        }
    }
    rights
}

/// Has kubectl read YAML: the API server's own reader.
fn read_yaml(text: &str) -> Json {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    serde_json::from_str(&kubectl(&["create", "--dry-run=client", "-f", path, "-o", "json"])).unwrap()
}

/// What an account did with its rights.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Rights that it has, and used. Where one is about one object only, that one is used for it.
    pub(super) used: BTreeSet<Right>,
    /// What it asked for, and was given for another reason.
    pub(super) beyond: BTreeSet<String>,
    /// What it asked for, and was not given.
    pub(super) denied: BTreeSet<String>,
}

/// An API server that writes down what it is asked; the usual one again when this goes.
pub(super) struct Audit {
    folder: tempfile::TempDir,
}

impl Audit {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        std::fs::write(
            &policy,
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{ level: Metadata }]\n",
        )
        .unwrap();
        let made = Self { folder };
        let policy = format!("--audit-policy-file={}", policy.display());
        let log = format!("--audit-log-path={}", made.log().display());
        restart(&[&policy, &log]);
        made
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("audit.log")
    }

    /// What an account did so far with the rights of a Role.
    pub(super) fn of(&self, account: &str, rights: &BTreeSet<Right>) -> Use {
        let mut found = Use { used: BTreeSet::new(), beyond: BTreeSet::new(), denied: BTreeSet::new() };
        for line in std::fs::read_to_string(self.log()).unwrap().lines() {
            let event: Json = serde_json::from_str(line).unwrap_or_default();
            if event["user"]["username"] != account || event["objectRef"].is_null() {
                continue;
            }
            let text = |key: &str| event["objectRef"][key].as_str().unwrap_or_default();
            let resource = match text("subresource") {
                "" => text("resource").to_owned(),
                below => format!("{}/{below}", text("resource")),
            };
            let asked = right(event["verb"].as_str().unwrap(), text("apiGroup"), &resource);
            let narrow = (asked.clone(), Some(text("name").to_owned()));
            let wide = (asked.clone(), None);
            if event["annotations"]["authorization.k8s.io/decision"] != "allow" {
                found.denied.insert(asked);
            } else if let Some(right) = [narrow, wide].into_iter().find(|right| rights.contains(right)) {
                found.used.insert(right);
            } else {
                found.beyond.insert(asked);
            }
        }
        found
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        restart(&[]);
    }
}

/// Ends the API server and starts another one.
pub(super) fn restart(flags: &[&str]) {
    cluster(&["signal", "apiserver", "KILL"]);
    cluster(&[&["start", "apiserver"], flags].concat());
    wait_or("the API server answers", || {
        let program = std::env::var("TIDEGATE_KUBECTL").ok()?;
        let mut words = program.split_whitespace();
        let done = Command::new(words.next()?).args(words).args(["get", "--raw", "/readyz"]).output().ok()?;
        done.status.success().then_some(())
    });
}
