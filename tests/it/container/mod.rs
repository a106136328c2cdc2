//! Runs in containers of this machine, by a real docker or podman: `bash tests/all cluster` sets up a
//! podman with a storage of its own. By hand: any engine that has the images of `tests/cluster` and
//! Tidegate's own.

mod conformance;
mod ends;
mod left;
mod links;
mod registry;
mod runs;
mod trace;

use crate::harness::{Done, Project};
use std::process::{Child, Command, Stdio};

const IMAGE: &str = "docker.io/test/busybox:1";

/// What of this process's environment the engine needs.
const PASSED: [&str; 7] = [
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "TIDEGATE_CONTAINER_ENGINE",
    "DOCKER_HOST",
    "TIDEGATE_SHIM",
    "XDG_RUNTIME_DIR",
];

pub fn env() -> Vec<(&'static str, String)> {
    let passed = PASSED.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    // One copy of the static program for all tests.
    let cache = std::env::var("TIDEGATE_CACHE").unwrap_or_else(|_| {
        std::env::temp_dir()
            .join(format!("tidegate-it-cache-{}", rustix::process::getuid().as_raw()))
            .display()
            .to_string()
    });
    passed.chain([("XDG_CACHE_HOME", cache)]).collect()
}

/// A project whose jobs run in busybox.
fn project(jobs: &str) -> Project {
    let head = format!("on: workflow_dispatch\ndefaults: {{ container: '{IMAGE}', run: {{ shell: sh }} }}\n");
    Project::workflow(&format!("{head}jobs:\n{jobs}")).git()
}

fn with<T>(f: impl FnOnce(&[(&str, &str)]) -> T) -> T {
    let env = env();
    f(&env.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

fn tidegate(project: &Project, args: &[&str]) -> Done {
    with(|env| project.tidegate_with(args, env))
}

fn run(project: &Project, more: &[&str]) -> Done {
    tidegate(project, &[&["run", "--on", "container"], more].concat())
}

/// Starts a run and leaves it running.
fn spawn(project: &Project, more: &[&str]) -> Child {
    with(|env| project.spawn_with([&["run", "--on", "container"], more].concat(), env))
}

/// The engine itself; its standard output.
fn engine(args: &[&str]) -> String {
    let program = std::env::var("TIDEGATE_CONTAINER_ENGINE").unwrap_or_else(|_| "podman".into());
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Removes a container that runs, at once.
fn force_remove(name: &str) {
    // Podman would ask it to end first, and docker knows no such option.
    let time: &[&str] = if engine(&["--version"]).contains("podman") { &["--time=0"] } else { &[] };
    engine(&[&["rm", "--force"], time, &[name]].concat());
}

/// Names of this project's containers, whatever they do.
fn containers(project: &Project) -> Vec<String> {
    let id = std::fs::read_to_string(project.path().join(".tidegate/id")).unwrap_or_default();
    if id.trim().is_empty() {
        return Vec::new();
    }
    let filter = format!("label=tidegate.dev/store={}", id.trim());
    let said = engine(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
    said.split_whitespace().map(str::to_owned).collect()
}

/// Nothing is left: no container, and no folder that one shared.
#[track_caller]
fn nothing_left(project: &Project) {
    assert_eq!(containers(project), Vec::<String>::new());
    let folders = std::fs::read_dir(project.path().join(".tidegate/containers"));
    let folders: Vec<_> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(folders.is_empty(), "{folders:?}");
}

/// Waits until a running job's log has some text.
#[track_caller]
fn wait_log(project: &Project, text: &str) {
    let end = std::time::Instant::now() + std::time::Duration::from_mins(4);
    while !project.tidegate(["runs", "logs", "1"]).stdout.contains(text) {
        assert!(std::time::Instant::now() < end, "waited in vain for {text:?} in the log");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
