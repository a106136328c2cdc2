//! Every end that a pod can have, made to happen: the class, the words, the budget.

use super::*;

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
fn a_whole_container_killed_for_memory() {
    let project = project(
        "  a:
    resources: { memory: 40Mi }
    steps: [{ run: 'head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null || true; echo started; sleep 600' }]
",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_container(&project, "steps");
    project.done(child).code(1).stdout("oom").stdout("raise `resources.memory`");
    wait_gone(&project);
}

#[test]
fn a_whole_container_killed_by_somebody() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_container(&project, "steps");
    project.done(child).code(0).stdout("lost").stdout("was killed (exit 137)").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn an_agent_that_is_killed() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_container(&project, "agent");
    project.done(child).code(0).stdout("lost").stdout("Tidegate's own container").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_shim_that_is_killed() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kill_in(&project, "steps", "shim");
    project.done(child).code(0).stdout("lost").stdout("was killed (exit 137)").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_job_that_somebody_deletes() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kubectl(&["delete", "jobs", "-l", &selector(&project), "--wait=false"]);
    let done = project.done(child).code(0).stdout("lost").stdout("attempt 2");
    done.stdout("does not count as an attempt (infrastructure retry 1 of 10)");
    wait_gone(&project);
}

#[test]
fn a_namespace_that_somebody_deletes() {
    let project = project("  a: { steps: [{ run: 'echo started; sleep 600' }] }\n");
    let namespace = Namespace::new("deleted", "");
    let child = spawn(&project, &["--namespace", &namespace.0]);
    wait_log(&project, "started");
    kubectl(&["delete", "namespace", &namespace.0, "--wait=false"]);
    project.done(child).code(1).stdout("being terminated");
}

#[test]
fn a_job_out_of_time() {
    let project = project("  a: { timeout-minutes: 0.05, steps: [{ run: 'sleep 600' }] }\n");
    run(&project, &[]).code(1).stdout("timed out");
    wait_gone(&project);
}

#[test]
fn a_pod_evicted_by_the_api_spends_the_budget_of_the_infrastructure() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    let name = pod(&project);
    let eviction = format!(
        "{{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"default\"}}}}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), eviction).unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{name}/eviction");
    kubectl(&["create", "--raw", &path, "-f", file.path().to_str().unwrap()]);
    project.done(child).code(0).stdout("preempted").stdout("EvictionByEvictionAPI").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_sigterm_that_ends_with_0_is_no_success() {
    let project = project(
        "  a: { steps: [{ run: 'trap \"exit 0\" TERM; echo started; case $HOSTNAME in *-0-1-*) sleep 600 & wait;; esac; echo done' }] }\n",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    kubectl(&["delete", "pods", "-l", &selector(&project), "--wait=false"]);
    project.done(child).code(0).stdout("lost").stdout("its pod was deleted").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_suspended_job_is_preempted() {
    let project = project(WAITS);
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    let job = kubectl(&["get", "jobs", "-l", &selector(&project), "-o", "name"]);
    kubectl(&["patch", job.trim(), "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"]);
    project.done(child).code(0).stdout("preempted").stdout("suspended").stdout("attempt 2");
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
    interrupt(&child);
    project.done(child).code(5);
    let left = kubectl(&["get", "pods", "-l", &selector(&project), "-o", "name"]);
    assert_eq!(left.trim(), "", "the run ends when they are gone");
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

#[test]
fn a_hub_that_is_killed_loses_nothing() {
    let project = project_alone(
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 1; done' }] }\n",
        "",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "line 2");
    cluster(&["enter", "sh", "-c", "kill -9 $(pgrep -f '[t]idegate hub') || true"]);
    project.done(child).code(0).nowhere("attempt 2");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert_eq!(logs.lines().filter(|l| l.contains("line ")).count(), 9, "{logs}");
    wait_gone(&project);
}

/// Its folder goes with it: the agent says all that the engine has not, again.
#[test]
fn a_hub_whose_pod_is_deleted_loses_no_message_of_a_running_job() {
    let project = project_alone(
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 1; done' }] }\n",
        "",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "line 2");
    kubectl(&["delete", "pods", "-l", "app.kubernetes.io/name=tidegate-hub", "--grace-period=0", "--force"]);
    project.done(child).code(0).nowhere("attempt 2");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert_eq!(logs.lines().filter(|l| l.contains("line ")).count(), 9, "{logs}");
    wait_gone(&project);
}
