//! The agent of a pod with its hub and its shim: as processes of this machine, over a real connection.

use crate::agent::{job, script, step};
use crate::harness::until;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tidegate_edge::executor::inside::door_of;
use tidegate_edge::hub::{Connection, EngineEnd, HubEvent, Identity, client_config, dial_tcp};
use tidegate_edge::store::{FileObjects, Objects as _};
use tidegate_flow::job::{
    ActionSpec, AgentRequest, Answer, ArtifactRef, Conclusion, FailureClass, JobSpec, MessageBody,
    ProduceSpec, Question, Receipt, StepSpec,
};

const SECRET: &str = "the hub's own";

/// Longer than anything takes here.
const LONG: Duration = Duration::from_mins(4);

/// A hub, an engine's end of it, and what a cluster would start.
struct Cluster {
    folder: tempfile::TempDir,
    address: SocketAddr,
    identity: Identity,
    hub: Option<Child>,
    engine: Arc<EngineEnd>,
    events: Receiver<HubEvent>,
    objects: Arc<FileObjects>,
}

/// The two processes of one pod.
struct Pod {
    agent: Child,
    shim: Child,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = (self.agent.kill(), self.shim.kill());
        let _ = (self.agent.wait(), self.shim.wait());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_hub();
    }
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let identity = Identity::generate().unwrap();
        let files = folder.path().join("identity");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("hub.pem"), &identity.certificate).unwrap();
        std::fs::write(files.join("hub.key"), &identity.key).unwrap();
        std::fs::write(files.join("key"), SECRET).unwrap();
        let (send, events) = channel();
        let engine = EngineEnd::new(SECRET, "store", Box::new(move |event| drop(send.send(event))));
        let tls = client_config(&identity.certificate).unwrap();
        let (connection, keep_up) = Connection::new(dial_tcp(address), tls, engine.clone());
        engine.connect(connection);
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(keep_up);
        });
        let objects = Arc::new(FileObjects::open(folder.path().join("objects")).unwrap());
        let mut made = Self { folder, address, identity, hub: None, engine, events, objects };
        made.start_hub();
        made
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start_hub(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["hub", "--listen", &self.address.to_string()])
            .arg("--folder")
            .arg(self.path("hub"))
            .arg("--identity")
            .arg(self.path("identity"))
            .spawn()
            .unwrap();
        self.hub = Some(child);
    }

    fn stop_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            let _ = hub.kill();
            let _ = hub.wait();
        }
    }

    /// Gives the hub what the pod needs and starts its two processes.
    fn pod(&self, spec: &JobSpec, secrets: &[(&str, &str)]) -> Pod {
        let bytes = serde_json::to_vec(spec).unwrap();
        let digest = blake3_of(&self.objects, &bytes);
        self.engine.open(&spec.token, "the attempt's own", &digest, &self.path("log"));
        self.engine.objects.put(&digest, bytes).unwrap();
        let shared = self.path(&format!("shared-{}", spec.instance));
        let agent = self.agent(spec, &digest, "the attempt's own", secrets, &shared);
        let shim = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["shim", "--patience", "120", "--socket"])
            .arg(door_of(&shared, "steps"))
            .env("FROM_IMAGE", "yes")
            .env("HOME", "/nowhere")
            .spawn()
            .unwrap();
        Pod { agent, shim }
    }

    fn agent(
        &self,
        spec: &JobSpec,
        digest: &str,
        key: &str,
        secrets: &[(&str, &str)],
        shared: &Path,
    ) -> Child {
        let files = self.path(&format!("secret-{}", spec.instance));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("hub.pem"), &self.identity.certificate).unwrap();
        std::fs::write(files.join("key"), key).unwrap();
        let secrets: std::collections::BTreeMap<_, _> = secrets.iter().copied().collect();
        std::fs::write(files.join("secrets.json"), serde_json::to_vec(&secrets).unwrap()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["agent", "--pod"])
            .env("TIDEGATE_HUB", self.address.to_string())
            .env("TIDEGATE_ATTEMPT", &spec.token)
            .env("TIDEGATE_POD_UID", "pod")
            .env("TIDEGATE_SPEC", digest)
            .env("TIDEGATE_SECRET", files)
            .env("TIDEGATE_SHARED", shared)
            .env("TIDEGATE_OWN", self.path(&format!("own-{}", spec.instance)))
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    /// Hears messages up to the receipt and acknowledges it.
    fn receipt(&self, spec: &JobSpec) -> Receipt {
        self.hear(spec, |_| {}).1
    }

    /// Hears messages up to the receipt, each one once.
    fn hear(&self, spec: &JobSpec, mut each: impl FnMut(&MessageBody)) -> (u64, Receipt) {
        let mut last = 0;
        loop {
            match self.events.recv_timeout(LONG).expect("a message") {
                HubEvent::Message(message) if message.token == spec.token && message.seq > last => {
                    last = message.seq;
                    each(&message.body);
                    if let MessageBody::Ended(receipt) = message.body {
                        let acknowledge =
                            AgentRequest::Acknowledge { token: message.token, seq: message.seq };
                        self.engine.request(&spec.token, acknowledge);
                        return (message.seq, receipt);
                    }
                }
                HubEvent::Refused(reason) => panic!("refused: {reason}"),
                _ => {}
            }
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }
}

fn blake3_of(objects: &FileObjects, bytes: &[u8]) -> String {
    objects.put(bytes).unwrap()
}

fn ended(child: &mut Child) -> ExitStatus {
    until("it ends", || child.try_wait().unwrap())
}

/// An address that stays free while nobody listens there: each has a loopback address of its own, and connections to
/// elsewhere begin at none of them.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_le_bytes();
    let own = Ipv4Addr::new(127, 100 + process[1] % 100, process[0], NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((own, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn steps_run_in_the_other_container_and_everything_comes_back() {
    let cluster = Cluster::new();
    let tree = cluster.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("data.txt"), "from the tree\n").unwrap();
    let tree: ArtifactRef = cluster.objects.put_path(&tree).unwrap();
    cluster.engine.objects.push(&tree, &cluster.objects).unwrap();
    let mut spec = job(vec![
        step("one", "", "cat data.txt; echo \"$FROM_IMAGE $TOKEN\" >&2; echo 'x=41' >> $GITHUB_OUTPUT"),
        // The work folder is another user's for git, and the image knows no home.
        script(
            "cd && touch kept && cd - && git init -q . && GIT_TEST_ASSUME_DIFFERENT_OWNER=1 git status --short && ls ~",
        ),
        script("echo \"${{ steps.one.outputs.x }}\" > out.txt; echo '{\"acc\": 0.5}' > m.json"),
    ]);
    spec.source.tree = tree.digest;
    spec.secrets = vec!["TOKEN".into()];
    spec.env = vec![tidegate_flow::job::EnvLayer {
        variables: vec![("TOKEN".into(), "${{ secrets.TOKEN }}".into())],
        expression: None,
    }];
    spec.produces = vec![ProduceSpec { name: "out".into(), path: "out.txt".into(), ignore_missing: false }];
    spec.metrics.files = vec!["m.json".into()];
    let mut pod = cluster.pod(&spec, &[("TOKEN", "hush-hush")]);
    let receipt = cluster.receipt(&spec);
    assert_eq!(receipt.conclusion, Conclusion::Success, "{receipt:?}\n{}", cluster.log());
    assert_eq!(receipt.metrics["acc"], 0.5);
    let out = &receipt.artifacts["out"];
    cluster.engine.objects.pull(out, &cluster.objects).unwrap();
    cluster.objects.fetch(out, &cluster.path("fetched")).unwrap();
    assert_eq!(std::fs::read_to_string(cluster.path("fetched")).unwrap(), "41\n");
    assert!(ended(&mut pod.agent).success());
    assert!(ended(&mut pod.shim).success());
    let log = cluster.log();
    assert!(log.contains("from the tree\nyes ***\n"), "{log}");
    assert!(log.contains("\n?? data.txt\nkept\n"), "{log}");
    assert_eq!(log.len() as u64, receipt.log, "the whole log is here before the receipt");
}

#[test]
fn a_hub_that_is_killed_and_started_again_loses_nothing() {
    let mut cluster = Cluster::new();
    let go = cluster.path("go");
    let spec = job(vec![
        script("for i in $(seq 200); do echo line $i; done"),
        script(&format!("while ! test -e {}; do sleep 0.01; done; echo last", go.display())),
    ]);
    let _pod = cluster.pod(&spec, &[]);
    // The first step is over: its messages are with the hub, and with us.
    loop {
        match cluster.events.recv_timeout(LONG).unwrap() {
            HubEvent::Message(m) if matches!(m.body, MessageBody::StepEnded { step: 0, .. }) => break,
            _ => {}
        }
    }
    cluster.stop_hub();
    while !matches!(cluster.events.recv_timeout(LONG).unwrap(), HubEvent::Broken(_)) {}
    std::fs::write(&go, "").unwrap();
    cluster.start_hub();
    let mut seen = Vec::new();
    let (last, receipt) = cluster.hear(&spec, |body| seen.push(body.clone()));
    assert_eq!(receipt.conclusion, Conclusion::Success);
    assert_eq!(last, seen.len() as u64, "the hub says all that was not acknowledged, from its files");
    let log = cluster.log();
    assert_eq!(log.matches("line 200\n").count(), 1, "{log}");
    assert_eq!(log.len() as u64, receipt.log);
}

#[test]
fn cancel_ends_the_step_and_runs_what_always_runs() {
    let cluster = Cluster::new();
    let spec = job(vec![script("echo started; sleep 600 & wait"), step("", "always()", "echo cleaned up")]);
    let mut pod = cluster.pod(&spec, &[]);
    loop {
        match cluster.events.recv_timeout(LONG).unwrap() {
            HubEvent::Message(m) if matches!(m.body, MessageBody::Tail { .. }) => break,
            _ => {}
        }
    }
    let cancel = AgentRequest::Cancel { token: spec.token.clone(), reason: "told so".into() };
    cluster.engine.request(&spec.token, cancel);
    let receipt = cluster.receipt(&spec);
    assert_eq!(receipt.conclusion, Conclusion::Cancelled);
    assert!(cluster.log().contains("cleaned up"));
    assert!(!ended(&mut pod.shim).success());
}

#[test]
fn a_container_that_dies_under_a_step_is_asked_about() {
    let cluster = Cluster::new();
    let spec = job(vec![script("echo last words; kill -9 $PPID")]);
    let mut pod = cluster.pod(&spec, &[]);
    let receipt = loop {
        let HubEvent::Message(message) = cluster.events.recv_timeout(LONG).unwrap() else {
            continue;
        };
        match message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                let answer = Answer::Death {
                    class: FailureClass::Oom,
                    exit: Some(137),
                    reason: "killed at its limit".into(),
                };
                let reply = AgentRequest::Reply { token: spec.token.clone(), id, answer };
                cluster.engine.request(&spec.token, reply);
            }
            MessageBody::Ended(receipt) => break receipt,
            _ => {}
        }
    };
    assert_eq!((receipt.class, receipt.exit), (Some(FailureClass::Oom), Some(137)), "{receipt:?}");
    assert!(cluster.log().contains("last words"), "{} {receipt:?}", cluster.log());
    let _ = ended(&mut pod.shim);
}

#[test]
fn a_wrong_secret_and_a_second_agent_are_turned_away() {
    let cluster = Cluster::new();
    let spec = job(vec![script("sleep 600 & wait")]);
    let _pod = cluster.pod(&spec, &[]);
    loop {
        match cluster.events.recv_timeout(LONG).unwrap() {
            HubEvent::Message(m) if matches!(m.body, MessageBody::StepStarted { .. }) => break,
            _ => {}
        }
    }
    let bytes = serde_json::to_vec(&spec).unwrap();
    let digest = blake3_of(&cluster.objects, &bytes);
    for key in ["guessed", "the attempt's own"] {
        let mut other = cluster.agent(&spec, &digest, key, &[], &cluster.path("other"));
        assert_eq!(ended(&mut other).code(), Some(4), "{key}");
    }
    cluster.engine.request(&spec.token, AgentRequest::Kill { token: spec.token.clone() });
    assert_eq!(cluster.receipt(&spec).conclusion, Conclusion::Cancelled);
}

/// A step whose failure is looked at afterwards.
fn uses(name: &str, with: &[(&str, &str)]) -> StepSpec {
    let with = with.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let action = ActionSpec::Uses { uses: name.to_owned(), with };
    StepSpec { action, continue_on_error: "true".into(), ..StepSpec::default() }
}

const UPLOAD: &str = "actions/upload-artifact@v4";

/// Links, pipes and paths that would lead the agent where steps do not come: to its key, or over other files.
#[test]
fn what_a_step_leaves_leads_the_agent_nowhere() {
    let cluster = Cluster::new();
    let host = cluster.path("host");
    std::fs::create_dir(&host).unwrap();
    for file in ["script", "output", "key"] {
        std::fs::write(host.join(file), "of the host").unwrap();
    }
    let leave = format!(
        "H={}; mkdir ok pipes; echo fine > ok/file; ln -s file ok/near; mkfifo pipes/p params.json; echo x > pipes/f
ln -s $H out; ln -s $H/key metrics.json; T=$RUNNER_TEMP; ln -s $H/script $T/2.sh; ln -s $H/output $T/../2_output
for at in uploads downloads cache cache-save produced; do ln -s $H $T/../$at; done",
        host.display()
    );
    let cache = |path| uses("actions/cache/save@v4", &[("key", "k"), ("path", path)]);
    let mut spec = job(vec![
        script(&leave),
        uses(UPLOAD, &[("name", "good"), ("path", "ok")]),
        uses(UPLOAD, &[("name", "a"), ("path", "out")]),
        uses(UPLOAD, &[("name", "b"), ("path", "out/key")]),
        uses(UPLOAD, &[("name", "c"), ("path", ".")]),
        uses(UPLOAD, &[("name", "d"), ("path", "pipes")]),
        uses(UPLOAD, &[("name", "e"), ("path", &host.to_string_lossy())]),
        uses("actions/download-artifact@v4", &[("name", "good"), ("path", "out")]),
        uses("actions/download-artifact@v4", &[("name", "good"), ("path", "out/deep/er")]),
        cache("out"),
        cache("/root/.cache/pip"),
        uses("actions/checkout@v4", &[("path", "copy")]),
        script("test \"${{ hashFiles('out/key', 'metrics.json') }}\" = ''; echo said=so >> $GITHUB_OUTPUT"),
        script("mv \"$PWD\" \"$PWD\"-away; ln -s $(dirname $RUNNER_TEMP)/uploads \"$PWD\""),
        uses(UPLOAD, &[("name", "f"), ("path", "key")]),
    ]);
    spec.metrics.files = vec!["metrics.json".into()];
    spec.params.files = vec!["params.json".into()];
    let _pod = cluster.pod(&spec, &[]);
    let mut failed = Vec::new();
    let (_, receipt) = cluster.hear(&spec, |body| match body {
        MessageBody::Ask { id, question: Question::Uploads } => {
            let answer = Answer::Uploads(std::collections::BTreeMap::new());
            let reply = AgentRequest::Reply { token: spec.token.clone(), id: *id, answer };
            cluster.engine.request(&spec.token, reply);
        }
        MessageBody::StepEnded { step, outcome: Conclusion::Failure, .. } => failed.push(*step),
        _ => {}
    });
    let log = cluster.log();
    assert_eq!(failed, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "{receipt:?}\n{log}");
    assert_eq!(receipt.uploads.keys().collect::<Vec<_>>(), ["good"], "{log}");
    for (text, count) in [
        ("a link leads to", 7),
        ("actions/checkout: copy: ", 1),
        ("pipes/p: neither a file nor a folder", 1),
        ("params: params.json: neither a file nor a folder", 1),
        ("only the work folder and RUNNER_TEMP are shared", 2),
    ] {
        assert!(log.matches(text).count() >= count, "{text}: {log}");
    }
    let mut there: Vec<_> =
        std::fs::read_dir(&host).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, ["key", "output", "script"]);
    for file in there {
        assert_eq!(std::fs::read_to_string(host.join(&file)).unwrap(), "of the host", "{file}");
    }
    let good = &receipt.uploads["good"];
    cluster.engine.objects.pull(good, &cluster.objects).unwrap();
    cluster.objects.fetch(good, &cluster.path("good")).unwrap();
    assert_eq!(std::fs::read_to_string(cluster.path("good/near")).unwrap(), "fine\n");
}

/// A folder that another was put in the place of is not kept as a product.
#[test]
fn a_product_is_of_the_work_folder_that_the_job_began_with() {
    let cluster = Cluster::new();
    let host = cluster.path("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("key"), "of the host").unwrap();
    let swap = format!("mv \"$PWD\" \"$PWD\"-away; ln -s {} \"$PWD\"", host.display());
    let mut spec = job(vec![script(&swap)]);
    spec.produces = vec![ProduceSpec { name: "out".into(), path: "key".into(), ignore_missing: false }];
    let _pod = cluster.pod(&spec, &[]);
    let receipt = cluster.receipt(&spec);
    assert_eq!(receipt.conclusion, Conclusion::Failure, "{receipt:?}\n{}", cluster.log());
    assert!(receipt.artifacts.is_empty());
}
