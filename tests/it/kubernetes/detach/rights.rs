//! Rights: the engine has those that it uses and no other, people who only run have fewer.

use super::*;
use std::collections::BTreeSet;

/// An API server that writes down what it is asked; the usual one again when this goes.
struct Audit {
    folder: tempfile::TempDir,
}

impl Audit {
    fn start() -> Self {
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

    /// What an account asked for and was given, and what it was not given.
    fn of(&self, account: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut used, mut denied) = (BTreeSet::new(), BTreeSet::new());
        for line in std::fs::read_to_string(self.log()).unwrap().lines() {
            let event: Json = serde_json::from_str(line).unwrap_or_default();
            if event["user"]["username"] != account || event["objectRef"].is_null() {
                continue;
            }
            let text = |key: &str| event["objectRef"][key].as_str().unwrap_or_default();
            let below = Some(text("subresource")).filter(|s| !s.is_empty()).map(|s| format!("/{s}"));
            let right = format!(
                "{} {}{} {}",
                event["verb"].as_str().unwrap(),
                text("apiGroup"),
                text("resource"),
                below.unwrap_or_default()
            );
            let given = event["annotations"]["authorization.k8s.io/decision"] == "allow";
            if given {
                used.insert(right)
            } else {
                denied.insert(right)
            };
        }
        (used, denied)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        restart(&[]);
    }
}

fn restart(flags: &[&str]) {
    cluster(&["signal", "apiserver", "KILL"]);
    cluster(&[&["start", "apiserver"], flags].concat());
    wait_or("the API server answers", 60, || {
        let program = std::env::var("TIDEGATE_KUBECTL").ok()?;
        let mut words = program.split_whitespace();
        let done = Command::new(words.next()?).args(words).args(["get", "--raw", "/readyz"]).output().ok()?;
        done.status.success().then_some(())
    });
}

/// The rights of the printed Role, in the same words.
fn printed(place: &Detached) -> BTreeSet<String> {
    let text = place.tidegate(&["install", "--print"]).code(0).stdout;
    let role = text.split("---\n").find(|document| document.contains("\nkind: Role\n")).unwrap();
    let role: Json = serde_yaml_of(role);
    let texts = |list: &Json| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in texts(&rule["resources"]) {
            let (resource, below) = resource.split_once('/').unwrap_or((&resource, ""));
            let below = if below.is_empty() { String::new() } else { format!("/{below}") };
            for verb in texts(&rule["verbs"]) {
                rights.insert(format!("{verb} {}{resource} {below}", rule["apiGroups"][0].as_str().unwrap()));
            }
        }
    }
    rights
}

/// Has kubectl read YAML: the API server's own reader.
fn serde_yaml_of(text: &str) -> Json {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    serde_json::from_str(&kubectl(&["create", "--dry-run=client", "-f", path, "-o", "json"])).unwrap()
}

const EVERYTHING: &str = "  plain:
    env: { WORD: '${{ secrets.WORD }}' }
    steps: [{ run: 'echo started; sleep 30; test $WORD = hush' }]
  service:
    services:
      web:
        image: docker.io/test/busybox:1
        env: { WORD: '${{ secrets.WORD }}' }
        entrypoint: sh
        command: -c \"while true; do echo $WORD | nc -l -p 8080; done\"
    steps: [{ run: 'until nc web 8080 < /dev/null; do sleep 0.2; done' }]
  nodes: { nodes: 2, steps: [{ run: 'echo $NODE_RANK' }] }
  pulled:
    container: { image: 'docker.io/test/busybox:1', credentials: { username: me, password: '${{ secrets.WORD }}' } }
    steps: [{ run: 'true' }]
  queued: { queue: nobodys, steps: [{ run: 'true' }] }
  broken:
    continue-on-error: true
    services:
      web: { image: 'docker.io/test/busybox:1', entrypoint: sh, command: '-c \"echo I am wrong; exit 3\"', options: '--health-cmd false --health-interval 5s --health-retries 30' }
    steps: [{ run: 'true' }]
";

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn the_engine_uses_each_of_its_rights_and_needs_no_other() {
    let guard = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
    let space = Namespace::new("rights", "");
    let project = made(EVERYTHING, &format!("  namespace: {}\n", space.0));
    let place = Detached { space, place: Place { _guard: Guard::Alone(guard), project } };
    // Goes first: the usual API server is back before others use it.
    let audit = Audit::start();
    place.tidegate(&["install"]).code(0);
    let number = place.submit(&["--secret", "WORD=hush"]);
    place.wait_log(&number, "started");
    let job = place.kubectl(&["get", "jobs", "-l", "tidegate.dev/job=queued", "-o", "name"]);
    place.kill_engine();
    // Nobody has Kueue here.
    place.kubectl(&["patch", job.trim(), "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    place.watch(&number).code(0);
    let cancelled = place.submit(&["--secret", "WORD=hush", "--job", "plain"]);
    place.wait_log(&cancelled, "started");
    place.asked(&["runs", "cancel", &cancelled]).code(0);
    place.watch(&cancelled).code(5);
    place.wait_gone();
    let account = format!("system:serviceaccount:{}:tidegate-engine", place.space.0);
    let (used, denied) = audit.of(&account);
    assert_eq!(denied, BTreeSet::new());
    assert_eq!(used, printed(&place), "what it used, and what it was given");
}

#[test]
fn a_person_with_the_users_role_hands_over_and_looks_and_no_more() {
    let place = Detached::new("user", "  a: { steps: [{ run: 'echo mine' }] }\n");
    place.tidegate(&["install", "--for", "user"]).code(0).stdout("tidegate-user");
    place.kubectl(&["create", "serviceaccount", "ada"]);
    let who = format!("--serviceaccount={}:ada", place.space.0);
    place.kubectl(&["create", "rolebinding", "ada", "--role=tidegate-user", &who]);
    let token = place.kubectl(&["create", "token", "ada"]);
    let mut config: Json =
        serde_json::from_str(&kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])).unwrap();
    config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let ada = [("KUBECONFIG", file.path().to_str().unwrap())];
    let project = &place.place.project;
    let done =
        project.tidegate_with(["run", "--on", "kubernetes", "--detach", "--format", "json"], &ada).code(0);
    let run = serde_json::from_str::<Json>(&done.stdout).unwrap()["run"].as_str().unwrap().to_owned();
    wait("the engine has it", 60, || {
        let list = project.tidegate_with(["runs", "list", "--on", "kubernetes"], &ada).code(0);
        list.stdout.contains("test").then_some(())
    });
    project.tidegate_with(["runs", "watch", &run, "--on", "kubernetes"], &ada).code(0).stdout("passed");
    project.tidegate_with(["runs", "logs", &run, "--on", "kubernetes"], &ada).code(0).stdout("mine");
    // Nor may they run without the engine.
    project.tidegate_with(["run", "--on", "kubernetes"], &ada).code(4);
}
