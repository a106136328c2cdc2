//! An API server that is away, has too much to do, forgot, or says nothing: nothing is lost.

use super::*;
use std::io::{BufRead as _, BufReader};

const SLOW: &str = "  a: { steps: [{ run: 'echo started; sleep 8; echo a done' }] }
  b: { needs: a, steps: [{ run: 'echo b done' }] }
";

fn signal_hub(signal: &str) {
    cluster(&["enter", "sh", "-c", &format!("kill -{signal} $(pgrep -f '[t]idegate hub') || true")]);
}

/// The first job ends while nobody can hear it.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_api_server_and_a_hub_that_are_away_for_a_minute() {
    let project = project_alone(SLOW, "");
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    signal_hub("STOP");
    cluster(&["signal", "apiserver", "KILL"]);
    std::thread::sleep(Duration::from_mins(1));
    cluster(&["start", "apiserver"]);
    signal_hub("CONT");
    let done = project.done(child).code(0).nowhere("attempt 2");
    let done = done.stderr("API server does not answer").stderr("API server answers again");
    done.stderr("the hub does not answer").stderr("the hub answers again");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("a done").stdout("b done");
    wait_gone(&project);
}

/// Nothing happens that a watch could tell of, and no Job is made: the server is asked.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_api_server_that_is_back_is_said_although_nothing_happens() {
    let step = "echo started; while ! test -e /tmp/go; do sleep 0.1; done";
    let project =
        project_alone(&format!("  a: {{ timeout-minutes: 2, steps: [{{ run: '{step}' }}] }}\n"), "");
    let mut child = spawn(&project, &[]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    wait_log(&project, "started");
    cluster(&["signal", "apiserver", "KILL"]);
    assert!(said.any(|line| line.contains("API server does not answer")));
    cluster(&["start", "apiserver"]);
    assert!(said.any(|line| line.contains("API server answers again")));
    kubectl(&["exec", &pod(&project), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    project.done(child).code(0);
    wait_gone(&project);
}

/// What the agent wrote while the hub took nothing, the cluster has.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn the_last_lines_of_an_agent_that_is_killed() {
    let waits = "while ! test -e /tmp/go; do sleep 0.1; done; echo last words; sleep 600";
    let step = format!("echo started; case $HOSTNAME in *-0-1-*) {waits};; esac; echo done");
    let project = project_alone(&format!("  a: {{ steps: [{{ run: '{step}' }}] }}\n"), "");
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    signal_hub("STOP");
    kubectl(&["exec", &pod(&project), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    let written = "for i in $(seq 300); do for p in $(pgrep -f '[a]gent --pod'); do \
                   grep -qrs 'last words' /proc/$p/root/run/tidegate/own/runs && exit 0; done; sleep 0.1; done; exit 1";
    cluster(&["enter", "sh", "-c", written]);
    ends::kill_container(&project, "agent");
    // What the agent's connection holds goes with the hub.
    signal_hub("KILL");
    let done = project.done(child).code(0).stdout("lost").stdout("attempt 2");
    done.stdout("Tidegate's own container");
    project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0).stdout("started").stdout("last words");
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
    // Until after the first job's end: the second one's start is refused at first.
    std::thread::sleep(Duration::from_secs(14));
    assert!(door.refused() > 0, "nobody was refused anything");
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
        wait("it is shown what it waits for", 90, || {
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
    assert_eq!(done.stdout.matches("waits: creating the Job tg-").count(), 2, "{}", done.stdout);
    assert!(std::fs::read_to_string(door.folder.path().join("mode.told")).unwrap().contains("unsaid"));
    let made = adoption::pods_made(&project);
    assert!(made.len() == 3 && made.values().all(|count| *count == 1), "{made:?}");
    wait_gone(&project);
}

#[test]
fn a_run_whose_jobs_are_not_taken_for_now_is_cancelled_soon() {
    let (project, door) = (project("  a: { steps: [{ run: 'true' }] }\n"), Door::new());
    door.is("jobs 429");
    let child = door.spawn(&project);
    wait("it was asked some times", 90, || (door.refused() > 4).then_some(()));
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
    wait("its watches are told", 60, || {
        let told = std::fs::read_to_string(door.folder.path().join("mode.told")).unwrap_or_default();
        (told.contains("/pods") && told.contains("/jobs")).then_some(())
    });
    kubectl(&["delete", "pods", "-l", &selector(&project), "--grace-period=0", "--force"]);
    project.done(child).code(0).stdout("lost").stdout("attempt 2");
    wait_gone(&project);
}

/// What runs on a node goes on without its kubelet, and the next kubelet finds it.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_kubelet_that_starts_again_loses_nothing() {
    let project = project_alone(
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 1; done' }] }
  b: { needs: a, steps: [{ run: 'echo b done' }] }
",
        "",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "line 2");
    cluster(&["signal", "kubelet", "KILL"]);
    // The engine hears nothing now: its way to the hub is through the kubelet.
    std::thread::sleep(Duration::from_secs(4));
    cluster(&["start", "kubelet"]);
    project.done(child).code(0).nowhere("attempt 2");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert_eq!(logs.lines().filter(|l| l.contains("line ")).count(), 9, "{logs}");
    wait_gone(&project);
}

fn wait_ready(node: &str) {
    wait(&format!("the node is {node}"), 120, || {
        let ready = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        (kubectl(&["get", "nodes", "-o", ready]).trim() == node).then_some(())
    });
}

/// One run gives the node up before it is back, the other one does not.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_node_that_is_not_ready_is_lost_and_comes_back() {
    let job = "  a: { steps: [{ run: 'echo started; case $HOSTNAME in *-0-1-*) while ! test -e /tmp/go; do sleep 0.2; done;; esac; echo done' }] }\n";
    let project = project_alone(job, "  node-patience: 3s\n");
    let patient = made(job, "  node-patience: 10m\n");
    let (child, other) = (spawn(&project, &[]), spawn(&patient, &[]));
    for project in [&project, &patient] {
        wait_log(project, "started");
        // Nobody but the node says that a pod is ready; that it is not any more, the cluster does.
        kubectl(&["wait", "--for=condition=Ready", "pod", &pod(project), "--timeout=60s"]);
    }
    let its = pod(&patient);
    cluster(&["signal", "kubelet", "STOP"]);
    let lost = wait_or("the node is given up", 120, || {
        project.tidegate(["runs", "show", "1"]).stdout.contains("attempt 2").then_some(())
    });
    cluster(&["signal", "kubelet", "CONT"]);
    assert!(lost.is_some(), "{}", project.tidegate(["runs", "show", "1"]).stdout);
    wait_ready("True");
    project
        .done(child)
        .code(0)
        .stdout("lost: the node node-1 has not been ready for 3 s")
        .stdout("attempt 2");
    kubectl(&["exec", &its, "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    patient.done(other).code(0).nowhere("attempt 2");
    wait_gone(&project);
    wait_gone(&patient);
}

/// A kubelet that keeps a bit less of its disk free than there is now: the first attempt takes that and more.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_node_short_of_disk_evicts_a_job_that_says_so_and_is_tried_again() {
    let project = project_alone(
        "  a:
    retry: { attempts: 2, on: [disk] }
    steps: [{ run: 'case $HOSTNAME in *-0-1-*) fallocate -l 3072M big; echo written; sleep 600;; esac; echo done' }]
",
        "",
    );
    let free = cluster(&["enter", "df", "--output=avail", "-BM", "/var/lib/kubelet"]);
    let free: u64 = free.lines().last().unwrap().trim().trim_end_matches('M').parse().unwrap();
    cluster(&["signal", "kubelet", "KILL"]);
    let keeps = format!("--eviction-hard=nodefs.available<{}Mi", free - 1536);
    cluster(&["start", "kubelet", &keeps, "--eviction-pressure-transition-period=1s"]);
    let mut child = spawn(&project, &[]);
    let ended = wait_or("the run ends", 240, || child.try_wait().unwrap());
    cluster(&["signal", "kubelet", "KILL"]);
    cluster(&["start", "kubelet"]);
    assert!(ended.is_some(), "{}", project.tidegate(["runs", "show", "1"]).stdout);
    let done = project.done(child).code(0).stdout("disk: evicted because its node ran out of disk");
    done.stdout("`resources.ephemeral-storage`").stdout("attempt 2");
    wait_gone(&project);
    project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0).stdout("written");
}
