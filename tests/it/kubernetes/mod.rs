//! Runs on a real Kubernetes cluster: `bash tests/all cluster` starts one, or set `KUBECONFIG` to
//! another whose nodes have the images that `tests/cluster` makes.
//!
//! Tests run side by side, each with a store of its own. One that stops a part of the cluster runs
//! alone (`project_alone`) and needs the cluster of `tests/cluster`, which `TIDEGATE_CLUSTER` names.

mod adoption;
mod runs;

use crate::harness::{Done, Project, until};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

const IMAGE: &str = "docker.io/test/busybox:1";

/// Held by every test, and by one that stops a part of the cluster alone.
static CLUSTER: RwLock<()> = RwLock::new(());

fn kubeconfig() -> String {
    std::env::var("KUBECONFIG").expect("KUBECONFIG names the cluster; `bash tests/all cluster` sets it")
}

/// A command of several words with more words, and its standard output; it must succeed.
fn called(program: &str, args: &[&str]) -> String {
    let mut words = program.split_whitespace();
    let done = Command::new(words.next().unwrap())
        .args(words)
        .args(args)
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// kubectl with the test's cluster; its standard output.
fn kubectl(args: &[&str]) -> String {
    let program = std::env::var("TIDEGATE_KUBECTL").unwrap_or_else(|_| "kubectl".into());
    called(&program, args)
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

impl Place {
    fn file(mut self, path: &str, text: &str) -> Self {
        self.project.write(path, text);
        self.project = self.project.git();
        self
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
    let settings = format!("kubernetes:\n  image-patience: 2\n{settings}");
    Project::workflow(&format!("{head}jobs:\n{jobs}")).file(".ml/config.yaml", &settings).git()
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

/// A label of this project's Jobs, and of nobody else's.
fn selector(project: &Project) -> String {
    let id = std::fs::read_to_string(project.path().join(".tidegate/id")).unwrap_or_default();
    format!("tidegate.dev/store={}", id.trim())
}

/// What kubectl says of this project's Jobs and pods; empty once they are gone.
fn left(project: &Project) -> String {
    kubectl(&["get", "jobs,pods,secrets", "-l", &selector(project), "-o", "name"])
}

fn wait_gone(project: &Project) {
    wait("Jobs, pods and Secrets are gone", 90, || left(project).trim().is_empty().then_some(()));
}

/// Waits longer than [`until`] does.
#[track_caller]
fn wait<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until a running job's log has some text.
fn wait_log(project: &Project, text: &str) {
    wait(&format!("the log says {text:?}"), 90, || {
        project.tidegate(["runs", "logs", "1"]).stdout.contains(text).then_some(())
    });
}
