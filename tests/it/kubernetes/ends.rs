//! Every end that a pod can have, made to happen: the class, the words, the budget.

use super::scheduling::evict_pod;
use super::*;

/// Who pays for what the infrastructure did.
const BUDGET: &str = "does not count as an attempt (infrastructure retry 1 of 10)";

/// A job whose first attempt says that it runs, and then waits for its end. A pod's name has the attempt.
const WAITS: &str =
    "  a: { steps: [{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }] }\n";

/// Kills all processes of a container, as a control group of version 2 does that runs out of memory.
pub(super) fn kill_container(project: &Project, container: &str) {
    kill_in(project, container, "");
}

/// Kills the processes of a container whose command line has this.
fn kill_in(project: &Project, container: &str, command: &str) {
    let list = if container == "agent" { "initContainerStatuses" } else { "containerStatuses" };
    let path = format!("jsonpath={{.status.{list}[?(@.name==\"{container}\")].containerID}}");
    // What the container says is here before the kubelet has said that it runs.
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut id = String::new();
    while id.is_empty() {
        assert!(Instant::now() < deadline, "{container} has no id");
        let said = kubectl(&["get", "pod", &pod(project), "-o", &path]);
        said.trim().trim_start_matches("containerd://").clone_into(&mut id);
    }
    let script = format!(
        "for f in $(find /sys/fs/cgroup -path '*{id}*' -name cgroup.procs); do for p in $(cat $f); do grep -q '{command}' /proc/$p/cmdline && kill -9 $p; done; done; true"
    );
    cluster(&["enter", "sh", "-c", &script]);
}

#[test]
fn a_signal_and_an_exit_code_of_the_program() {
    let project =
        project("  a: { steps: [{ run: 'kill -SEGV $$' }] }\n  b: { steps: [{ run: 'exit 42' }] }\n");
    run(&project, &[]).code(1).stdout("signal 11 (exit 139)").stdout("exit 42");
}

#[test]
fn a_grandchild_killed_for_memory() {
    let project = project(
        "  a:
    resources: { memory: 40Mi }
    steps: [{ run: 'sh -c \"(head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null)\"; exit $?' }]
",
    );
    // The kernel may take the whole container: the shim was the larger one, or what it killed first went too slowly.
    run(&project, &[]).code(1).stdout("oom: killed ").stdout("raise `resources.memory`");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_whole_container_killed_for_memory() {
    let project = project(
        "  a:
    resources: { memory: 40Mi }
    steps: [{ run: 'seq 200; head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null || true; echo started; sleep 600' }]
",
    );
    let mut child = spawn(&project, &[]);
    // The kernel may have taken more than one of its processes already.
    let waits = wait("it waits to be killed, or is", || {
        let said = project.tidegate(["runs", "logs", "1"]).stdout.contains("started").then_some(true);
        said.or_else(|| child.try_wait().unwrap().map(|_| false))
    });
    if waits {
        kill_container(&project, "steps");
    }
    project.done(child).code(1).stdout("oom").stdout("raise `resources.memory`");
    wait_gone(&project);
    let logs = project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0).stdout("\n199\n200\n");
    assert!(!waits || logs.stdout.contains("started\n"), "{}", logs.stdout);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_whole_container_killed_by_somebody() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_container(&project, "steps");
    project.done(child).code(0).stdout("lost").stdout("was killed (exit 137)").stdout(BUDGET);
    wait_gone(&project);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_agent_that_is_killed() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_container(&project, "agent");
    project.done(child).code(0).stdout("lost").stdout("Tidegate's own container").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_shim_that_is_killed() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_in(&project, "steps", "shim");
    project.done(child).code(0).stdout("lost").stdout("was killed (exit 137)").stdout(BUDGET);
    wait_gone(&project);
}

#[test]
fn a_job_that_somebody_deletes() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kubectl(&["delete", "jobs", "-l", &selector(&project), "--wait=false"]);
    project.done(child).code(0).stdout("lost").stdout("attempt 2").stdout(BUDGET);
    wait_gone(&project);
}

#[test]
fn a_namespace_that_somebody_deletes() {
    let project = project("  a: { steps: [{ run: 'echo started; sleep 600' }] }\n");
    let namespace = Namespace::new("deleted", "");
    let child = spawn(&project, &["--namespace", &namespace.0]);
    wait_log(&project, "started");
    kubectl(&["delete", "namespace", &namespace.0, "--wait=false"]);
    // What it tries again comes while the namespace goes, or after that.
    let done = project.done(child).code(1);
    let words = ["being terminated", "not found"];
    assert!(words.iter().any(|words| done.stdout.contains(words)), "{done:?}");
}

#[test]
fn a_job_out_of_time() {
    let project = project("  a: { timeout-minutes: 0.05, steps: [{ run: 'sleep 600' }] }\n");
    run(&project, &[]).code(1).stdout("timed out");
    wait_gone(&project);
}

#[test]
fn a_pod_evicted_by_the_api_spends_the_budget_of_the_infrastructure() {
    let project = project(
        "  a:
    steps:
      - run: |
          trap 'seq 200; echo last words; exit 1' TERM
          echo started
          case $HOSTNAME in *-0-1-*) sleep 600 & wait;; esac
          echo done
",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    evict_pod(&pod(&project));
    project.done(child).code(0).stdout("preempted").stdout("EvictionByEvictionAPI").stdout(BUDGET);
    wait_gone(&project);
    let logs = project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0);
    logs.stdout("started\n").stdout("\n199\n200\nlast words\n");
}

#[test]
fn a_sigterm_that_ends_with_0_is_no_success() {
    let project = project(
        "  a: { steps: [{ run: 'trap \"exit 0\" TERM; echo started; case $HOSTNAME in *-0-1-*) sleep 600 & wait;; esac; echo done' }] }\n",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kubectl(&["delete", "pods", "-l", &selector(&project), "--wait=false"]);
    project.done(child).code(0).stdout("lost").stdout("its pod was deleted").stdout(BUDGET);
    wait_gone(&project);
}

#[test]
fn a_suspended_job_is_preempted() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    let job = kubectl(&["get", "jobs", "-l", &selector(&project), "-o", "name"]);
    kubectl(&["patch", job.trim(), "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"]);
    project.done(child).code(0).stdout("preempted").stdout("suspended").stdout(BUDGET);
    wait_gone(&project);
}

/// Suspends an attempt's Job or lets it go, as a queue does.
fn suspend(project: &Project, attempt: &str, suspended: bool) {
    let job = wait("there is its Job", || {
        let chosen = format!("{},tidegate.dev/attempt={attempt}", selector(project));
        let found = kubectl(&["get", "jobs", "-l", &chosen, "-o", "name"]);
        (selector(project).len() > 30 && !found.trim().is_empty()).then(|| found.trim().to_owned())
    });
    let patch = format!("{{\"spec\":{{\"suspend\":{suspended}}}}}");
    kubectl(&["patch", &job, "--type=merge", "-p", &patch]);
}

/// A queue takes its room away for another one's job, and gives it again.
#[test]
fn a_job_of_a_queue_is_suspended_and_let_go_again() {
    let project = project(&WAITS.replace("a: {", "a: { queue: research,"));
    let child = spawn(&project, &[]);
    suspend(&project, "1", false);
    wait_log(&project, "started");
    suspend(&project, "1", true);
    // Its next attempt stands in the queue, too.
    wait("the next one waits in the queue", || {
        let said = project.tidegate(["runs", "show", "1"]).stdout;
        (said.contains("attempt 2") && said.contains("waits: it waits in the queue")).then_some(())
    });
    suspend(&project, "2", false);
    let done = project.done(child).code(0).stdout("preempted").stdout("suspended");
    done.stdout("attempt 2").nowhere("attempt 3");
    project.tidegate(["runs", "logs", "1", "--attempt", "2"]).code(0).stdout("done");
    wait_gone(&project);
}

/// Its pod is gone, and the Job makes another one: what that did, the first one may have done already.
#[test]
fn a_job_that_is_suspended_and_resumed_at_once() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    let chosen = selector(&project);
    let job = kubectl(&["get", "jobs", "-l", &chosen, "-o", "name"]);
    suspend(&project, "1", true);
    wait("the cluster has taken its pod, or the engine its Job", || {
        let state = "jsonpath={.items[?(@.status.active==1)].metadata.name}";
        let active =
            kubectl(&["get", "jobs", "-l", &format!("{chosen},tidegate.dev/attempt=1"), "-o", state]);
        active.trim().is_empty().then_some(())
    });
    // The engine may have removed it before.
    let patch = ["patch", job.trim(), "--type=merge", "-p", "{\"spec\":{\"suspend\":false}}"];
    let _ = command(&kubectl_program(), &patch).output().unwrap();
    // Whether the engine still sees that it was suspended, is chance.
    let done = project.done(child).code(0).stdout(BUDGET).nowhere("attempt 3");
    let words = ["preempted: its Job was suspended", "lost: its pod was deleted while it ran"];
    assert!(words.iter().any(|words| done.stdout.contains(words)), "{done:?}");
    wait_gone(&project);
}

#[test]
fn too_much_disk() {
    let project = project(
        "  a:
    resources: { ephemeral-storage: 10Mi }
    steps: [{ run: 'head -c 60000000 /dev/zero > big; echo started; sleep 600' }]
",
    );
    run(&project, &[]).code(1).stdout("disk").stdout("ephemeral");
    wait_gone(&project);
}

#[test]
fn a_cancel_waits_until_a_pod_is_gone_that_ignores_sigterm() {
    let project = project(
        "  a: { steps: [{ run: 'trap \"\" TERM INT; echo started; while true; do sleep 1; done' }] }\n",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    cancelled(&project, child);
}

#[test]
fn a_pod_that_cannot_go_does_not_hold_the_run() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    let name = pod(&project);
    kubectl(&[
        "patch",
        "pod",
        &name,
        "--type=merge",
        "-p",
        "{\"metadata\":{\"finalizers\":[\"test.dev/stuck\"]}}",
    ]);
    kubectl(&["delete", "pod", &name, "--wait=false"]);
    project.done(child).code(0).stdout("lost").stdout("attempt 2");
    kubectl(&["patch", "pod", &name, "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"]);
    wait_gone(&project);
}
