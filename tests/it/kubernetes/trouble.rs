//! An API server that is away, has too much to do, forgot, or says nothing: nothing is lost.

use super::*;
use std::io::{BufRead as _, BufReader};

pub(super) const SLOW: &str =
    "  a: { steps: [{ run: 'echo started; while ! test -e /tmp/go; do sleep 0.1; done; echo a done' }] }
  b: { needs: a, steps: [{ run: 'echo b done' }] }
";

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

    /// How many were refused.
    fn refused(&self) -> usize {
        std::fs::read(self.folder.path().join("mode.refused")).unwrap_or_default().len()
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
    wait("somebody is refused", || (door.refused() > 0).then_some(()));
    let_go(&project, "a");
    // Until after the first job's end, which is told when there is a way again.
    std::thread::sleep(Duration::from_secs(6));
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
    let job =
        "  a: { steps: [{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }] }\n";
    let (project, door) = (project(job), Door::new());
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

/// Only Jobs are refused, and once one is made and nobody hears of it. Each of the jobs waits until it may go on.
#[test]
fn jobs_that_the_api_server_does_not_take_for_now_are_made_later_and_once() {
    let steps = "steps: [{ run: 'echo started; while ! test -e /tmp/go; do sleep 0.2; done' }]";
    let project = project(&format!(
        "  a: {{ {steps} }}\n  b: {{ needs: a, {steps} }}\n  c: {{ needs: b, steps: [{{ run: 'echo c done' }}] }}\n"
    ));
    let door = Door::new();
    door.is("jobs 429");
    let child = door.spawn(&project);
    for (job, code) in [("a", "429"), ("b", "500")] {
        wait("it is shown what it waits for", || {
            let said = project.tidegate(["runs", "show", "1"]).stdout;
            said.contains(&format!("the door says {code} ({code}); it is asked again")).then_some(())
        });
        let refused = door.refused();
        assert!(refused > 1, "it was asked {refused} times");
        door.is("open");
        wait_logs(&project, &[job], "started");
        door.is(if job == "a" { "jobs 500" } else { "jobs unsaid" });
        let_go(&project, job);
    }
    let done = project.done(child).code(0).nowhere("attempt 2");
    // Of the third one, too, if the server takes its time.
    let told = done.stdout.matches("waits: creating the Job tg-").count();
    assert!((2..=3).contains(&told), "{}", done.stdout);
    assert!(std::fs::read_to_string(door.folder.path().join("mode.told")).unwrap().contains("unsaid"));
    let made = adoption::pods_made(&project, 3);
    assert!(made.len() == 3 && made.values().all(|count| *count == 1), "{made:?}");
    wait_gone(&project);
}

#[test]
fn a_run_whose_jobs_are_not_taken_for_now_is_cancelled_soon() {
    let (project, door) = (project("  a: { steps: [{ run: 'true' }] }\n"), Door::new());
    door.is("jobs 429");
    let child = door.spawn(&project);
    wait("it was asked some times", || (door.refused() > 4).then_some(()));
    cancelled(&project, child);
    wait_gone(&project);
}

/// As the API server says to who asks for what it has forgotten: in the watch's own stream.
#[test]
fn a_watch_whose_version_is_too_old_begins_anew() {
    let job =
        "  a: { steps: [{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }] }\n";
    let (project, door) = (project(job), Door::new());
    let child = door.spawn(&project);
    wait_log(&project, "started");
    door.is("gone");
    wait("its watches are told", || {
        let told = std::fs::read_to_string(door.folder.path().join("mode.told")).unwrap_or_default();
        (told.contains("/pods") && told.contains("/jobs")).then_some(())
    });
    kubectl(&["delete", "pods", "-l", &selector(&project), "--grace-period=0", "--force"]);
    project.done(child).code(0).stdout("lost").stdout("attempt 2");
    wait_gone(&project);
}
