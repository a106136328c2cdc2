//! Runs on a real Kubernetes cluster: `bash tests/all cluster` starts one, or set `KUBECONFIG` to
//! another whose nodes have the images that `tests/cluster` makes.
//!
//! Tests run side by side, each with a store of its own. One that stops a part of the cluster runs
//! alone (`project_alone`, in a module `alone`) and needs the cluster of `tests/cluster`, which `TIDEGATE_CLUSTER` names.

mod adoption;
mod alone;
mod as_before;
mod caches;
mod collected;
mod containers;
mod detach;
mod download;
mod ends;
mod examples;
mod explained;
mod hub_disk;
mod kueue;
mod left;
mod nodes;
mod objects;
mod plan;
mod refusals;
mod registry;
mod runs;
mod scheduling;
mod set_up;
mod store;
mod sweep;
mod templates;
mod travel;
mod trouble;
mod versions;
mod waiting;

use crate::harness::{Done, Project};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

const IMAGE: &str = "docker.io/test/busybox:1";

/// Held by every test, and by one that stops a part of the cluster alone.
static CLUSTER: RwLock<()> = RwLock::new(());

fn kubeconfig() -> String {
    std::env::var("KUBECONFIG").expect("KUBECONFIG names the cluster; `bash tests/all cluster` sets it")
}

/// A command of several words with more words.
fn command(program: &str, args: &[&str]) -> Command {
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(args).env("KUBECONFIG", kubeconfig()).stdin(Stdio::null());
    command
}

/// The standard output of such a command; it must succeed.
fn called(program: &str, args: &[&str]) -> String {
    let done = command(program, args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn kubectl_program() -> String {
    std::env::var("TIDEGATE_KUBECTL").unwrap_or_else(|_| "kubectl".into())
}

/// kubectl with the test's cluster; its standard output.
fn kubectl(args: &[&str]) -> String {
    called(&kubectl_program(), args)
}

/// A project, and the right to use the cluster.
struct Place {
    project: Project,
    _guard: Guard,
}

#[expect(dead_code, reason = "only held")]
enum Guard {
    Beside(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Deref for Place {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

fn beside() -> Guard {
    Guard::Beside(CLUSTER.read().unwrap_or_else(PoisonError::into_inner))
}

/// A project whose jobs run in busybox.
fn project(jobs: &str) -> Place {
    project_with(jobs, "")
}

/// The same with more settings of the cluster.
fn project_with(jobs: &str, settings: &str) -> Place {
    Place { _guard: beside(), project: made(jobs, settings) }
}

fn made(jobs: &str, settings: &str) -> Project {
    let head = format!("on: workflow_dispatch\ndefaults: {{ container: '{IMAGE}', run: {{ shell: sh }} }}\n");
    // A busy node may fail for minutes where it succeeds later: only who waits for the end of that says less.
    let patience = if settings.contains("image-patience") { "" } else { "  image-patience: 10m\n" };
    let settings = format!("kubernetes:\n{patience}{settings}");
    Project::workflow(&format!("{head}jobs:\n{jobs}")).file(".ml/config.yaml", &settings).git()
}

/// A command of the cluster of `tests/cluster`, which alone can do that to itself.
fn cluster(args: &[&str]) -> String {
    let program = std::env::var("TIDEGATE_CLUSTER");
    called(
        &program.expect("TIDEGATE_CLUSTER is `tests/cluster/cluster`, as `bash tests/all cluster` sets it"),
        args,
    )
}

/// A project for a test that stops a part of the cluster.
fn project_alone(jobs: &str, settings: &str) -> Place {
    let guard = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
    Place { _guard: Guard::Alone(guard), project: made(jobs, settings) }
}

/// Offers a folder of the node as a volume to claims of the class of the same name.
fn apply_volume(name: &str, path: &str) {
    apply(&format!(
        r#"{{"apiVersion":"v1","kind":"PersistentVolume","metadata":{{"name":"{name}"}},"spec":{{
"capacity":{{"storage":"1Gi"}},"accessModes":["ReadWriteOnce"],"storageClassName":"{name}",
"persistentVolumeReclaimPolicy":"Retain","hostPath":{{"path":"{path}","type":"DirectoryOrCreate"}}}}}}"#
    ));
}

/// How many namespaces there were.
static NAMESPACES: AtomicUsize = AtomicUsize::new(0);

/// A namespace that goes when the test is over.
struct Namespace(String);

impl Namespace {
    fn new(name: &str, labels: &str) -> Self {
        // Two tests may call theirs alike.
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{name}-{}-{number}", std::process::id());
        let text = format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{name}\",\"labels\":{{{labels}}}}}}}"
        );
        apply(&text);
        wait("the namespace has its account", || {
            kubectl(&["get", "serviceaccounts", "-n", &name, "-o", "name"]).contains("default").then_some(())
        });
        Self(name)
    }

    /// Pods may have this much together; in force when this returns.
    fn quota(&self, what: &str, hard: &str) {
        apply(&format!(
            r#"{{"apiVersion":"v1","kind":"ResourceQuota","metadata":{{"name":"small","namespace":"{}"}},"spec":{{"hard":{{"{what}":"{hard}"}}}}}}"#,
            self.0
        ));
        wait("the quota is counted", || {
            let args = ["get", "quota", "small", "-n", &self.0, "-o", "jsonpath={.status.used}"];
            kubectl(&args).contains(what).then_some(())
        });
    }

    /// What an engine in it has said, for the reader of a test that failed.
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the test that failed")]
    fn show_engine(&self) {
        let args = ["logs", "-n", &self.0, "deploy/tidegate-engine", "--timestamps", "--tail", "40"];
        if let Ok(done) = command(&kubectl_program(), &args).output() {
            eprintln!("the engine of {}:\n{}", self.0, String::from_utf8_lossy(&done.stdout));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_engine();
        }
        // A test that failed already is not to end all others by a second panic.
        let _ = command(&kubectl_program(), &["delete", "namespace", &self.0, "--wait=false"]).output();
    }
}

/// Gives the cluster an object.
fn apply(text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
}

/// Lets the step of a job go on that waits for the file `/tmp/go`, on each of its nodes and in whatever namespace.
#[track_caller]
fn let_go(project: &Project, job: &str) {
    let chosen = format!("{},tidegate.dev/job={job}", selector(project));
    let each = "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
    let pods = kubectl(&["get", "pods", "-A", "-l", &chosen, "-o", each]);
    assert!(!pods.trim().is_empty(), "no pod of {job} is there");
    for (namespace, pod) in pods.lines().filter_map(|line| line.split_once(' ')) {
        kubectl(&["exec", "-n", namespace, pod, "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    }
}

/// The name of this project's only pod, once there is one.
fn pod(project: &Project) -> String {
    wait("there is a pod", || {
        let names =
            kubectl(&["get", "pods", "-l", &selector(project), "-o", "jsonpath={.items[*].metadata.name}"]);
        (selector(project).len() > 30 && !names.trim().is_empty()).then(|| names.trim().to_owned())
    })
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--on", "kubernetes"], more].concat()
}

fn run(project: &Project, more: &[&str]) -> Done {
    project.tidegate_with(args(more), &[("KUBECONFIG", &kubeconfig())])
}

/// Starts a run and leaves it running.
fn spawn(project: &Project, more: &[&str]) -> Child {
    project.spawn_with(args(more), &[("KUBECONFIG", &kubeconfig())])
}

/// Ctrl-C.
fn interrupt(child: &Child) {
    let signal = rustix::process::Signal::INT;
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Cancels a run of a job that waits for its end: its pods leave by themselves, none is given up (40 s after it was asked to
/// leave, with the usual grace), and they are gone then. Where asking for them takes long, all else does, too.
#[track_caller]
fn cancelled(project: &Project, child: Child) -> Done {
    let pods = || {
        let began = Instant::now();
        (kubectl(&["get", "pods", "-A", "-l", &selector(project), "-o", "name"]), began.elapsed())
    };
    let (_, before) = pods();
    let began = Instant::now();
    interrupt(&child);
    let done = project.done(child).code(5);
    let took = began.elapsed();
    let (left, after) = pods();
    assert_eq!(left.trim(), "", "the run ends when they are gone");
    let limit = Duration::from_secs(25) + (before + after) * 20;
    assert!(took < limit, "it took {took:?} of {limit:?}");
    let events = project.tidegate(["runs", "watch", "1", "--format", "json"]).stdout;
    assert!(events.contains("\"run-ended\""), "{events}");
    assert!(!events.contains("did not leave in time"), "{events}");
    done
}

/// A label of this project's Jobs, and of nobody else's.
fn selector(project: &Project) -> String {
    let id = std::fs::read_to_string(project.path().join(".tidegate/id")).unwrap_or_default();
    format!("tidegate.dev/store={}", id.trim())
}

/// What kubectl says of this project's Jobs and pods; empty once they are gone.
fn left(project: &Project) -> String {
    kubectl(&["get", "jobs,pods,secrets", "-A", "-l", &selector(project), "-o", "name"])
}

#[track_caller]
fn wait_gone(project: &Project) {
    let gone = wait_or("they are gone", || left(project).trim().is_empty().then_some(()));
    if gone.is_none() {
        let label = selector(project);
        panic!("still there: {}", kubectl(&["get", "jobs,pods,secrets", "-A", "-l", &label, "-o", "yaml"]));
    }
}

/// How long a test waits for what has to come: a node has the pods of six tests, and a controller that lost the API server
/// looks again after up to a minute. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(4);

/// Waits until something is there, for [`PATIENCE`].
#[track_caller]
fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or(what, look).unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// The same, for one who has to clean up first.
fn wait_or<T>(_what: &str, look: impl FnMut() -> Option<T>) -> Option<T> {
    within(PATIENCE, look)
}

/// The same for what takes longer by itself.
#[track_caller]
fn wait_long<T>(what: &str, seconds: u64, look: impl FnMut() -> Option<T>) -> T {
    let found = within(PATIENCE.max(Duration::from_secs(seconds)), look);
    found.unwrap_or_else(|| panic!("waited in vain for {seconds} s until {what}"))
}

fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let began = Instant::now();
        let found = look();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        // Looking is a process or two: where they are slow already, looking often would make all else slow.
        let pause = (began.elapsed() * 2).clamp(Duration::from_millis(50), Duration::from_secs(1));
        std::thread::sleep(pause);
    }
}

/// Waits until a running job's log has some text.
#[track_caller]
fn wait_log(project: &Project, text: &str) {
    wait_logs(project, &[], text);
}

/// The same of what `runs logs` gives with more options.
#[track_caller]
fn wait_logs(project: &Project, more: &[&str], text: &str) {
    let said = wait_or("the log says it", || {
        let args = [&["runs", "logs", "1"], more].concat();
        project.tidegate(args).stdout.contains(text).then_some(())
    });
    if said.is_none() {
        let shown = project.tidegate(["runs", "show", "1"]);
        let pods = kubectl(&["get", "pods", "-A", "-o", "wide"]);
        let warnings = kubectl(&["get", "events", "-A", "--field-selector", "type=Warning"]);
        panic!(
            "waited in vain until the log says {text:?}\n{}{}\n{pods}\n{warnings}",
            shown.stdout, shown.stderr
        );
    }
}
