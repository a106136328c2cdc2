//! An API server that is away, has too much to do, forgot, or says nothing: nothing is lost.

use super::*;
use std::io::{BufRead as _, BufReader};

const SLOW: &str = "  a: { steps: [{ run: 'echo started; sleep 8; echo a done' }] }
  b: { needs: a, steps: [{ run: 'echo b done' }] }
";

#[test]
fn an_api_server_that_is_away_for_a_while() {
    let project = project_alone(SLOW, "");
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    cluster(&["signal", "apiserver", "KILL"]);
    std::thread::sleep(Duration::from_secs(20));
    cluster(&["start", "apiserver"]);
    let done = project.done(child).code(0).nowhere("attempt 2");
    done.stderr("API server does not answer").stderr("answers again");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("a done").stdout("b done");
    wait_gone(&project);
}

/// The API server behind a door that can be shut in several ways.
pub(super) struct Door {
    child: Child,
    folder: tempfile::TempDir,
    kubeconfig: String,
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

impl Door {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mode = folder.path().join("mode");
        std::fs::write(&mode, "open").unwrap();
        let inner = folder.path().join("inner.json");
        std::fs::write(&inner, kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])).unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kubernetes/door.py");
        let mut child = Command::new("python3")
            .arg(program)
            .arg(&inner)
            .arg(&mode)
            .arg(folder.path().join("kubeconfig"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        let kubeconfig = folder.path().join("kubeconfig").to_str().unwrap().to_owned();
        Self { child, folder, kubeconfig }
    }

    pub(super) fn is(&self, mode: &str) {
        std::fs::write(self.folder.path().join("mode"), mode).unwrap();
    }

    pub(super) fn spawn(&self, project: &Project) -> Child {
        project.spawn_with(args(&[]), &[("KUBECONFIG", &self.kubeconfig)])
    }
}

/// Every answer is this for a while, and connections that stand are cut.
fn a_door_that_answers(mode: &str) {
    let (project, door) = (project(SLOW), Door::new());
    let child = door.spawn(&project);
    wait_log(&project, "started");
    door.is(mode);
    // Until after the first job's end: the second one's start is refused at first.
    std::thread::sleep(Duration::from_secs(14));
    door.is("open");
    project.done(child).code(0).nowhere("attempt 2");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("a done").stdout("b done");
    wait_gone(&project);
}

#[test]
fn too_many_requests() {
    a_door_that_answers("429");
}

#[test]
fn an_internal_error() {
    a_door_that_answers("500");
}

#[test]
fn a_resource_version_that_is_too_old() {
    a_door_that_answers("410");
}

#[test]
fn a_door_that_is_shut() {
    a_door_that_answers("shut");
}

#[test]
fn a_watch_that_stalls_without_a_word() {
    let (project, door) =
        (project("  a: { steps: [{ run: 'echo started; sleep 20; echo done' }] }\n"), Door::new());
    let child = door.spawn(&project);
    wait_log(&project, "started");
    // What stands goes on standing and says nothing any more; what is new works.
    door.is("stall");
    kubectl(&["delete", "pods", "-l", &selector(&project), "--grace-period=0", "--force"]);
    std::thread::sleep(Duration::from_secs(1));
    door.is("open");
    project.done(child).code(0).stdout("lost").stdout("attempt 2");
    wait_gone(&project);
}
