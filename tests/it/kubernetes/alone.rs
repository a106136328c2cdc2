//! What stops, kills or fills a part of the cluster that all share, or measures time. `tests/all` runs these last and one at
//! a time: a test that waits for the cluster to be its own would hold up all others meanwhile.

use super::trouble::SLOW;
use super::*;
use std::io::{BufRead as _, BufReader};

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
    let_go(&project, "a");
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
        project_alone(&format!("  a: {{ timeout-minutes: 10, steps: [{{ run: '{step}' }}] }}\n"), "");
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
    let written = "for i in $(seq 1200); do for p in $(pgrep -f '[a]gent --pod'); do \
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
    wait(&format!("the node is {node}"), || {
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
        kubectl(&["wait", "--for=condition=Ready", "pod", &pod(project), "--timeout=240s"]);
    }
    let its = pod(&patient);
    cluster(&["signal", "kubelet", "STOP"]);
    let lost = wait_or("the node is given up", || {
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
    let ended = wait_or("the run ends", || child.try_wait().unwrap());
    cluster(&["signal", "kubelet", "KILL"]);
    cluster(&["start", "kubelet"]);
    assert!(ended.is_some(), "{}", project.tidegate(["runs", "show", "1"]).stdout);
    let done = project.done(child).code(0).stdout("disk: evicted because its node ran out of disk");
    done.stdout("`resources.ephemeral-storage`").stdout("attempt 2");
    wait_gone(&project);
    project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0).stdout("written");
}

/// How often the kubelet has started the hub's container again.
fn hub_restarts() -> u32 {
    let path = "jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    let counts = kubectl(&["get", "pods", "-l", "app.kubernetes.io/name=tidegate-hub", "-o", path]);
    counts.split_whitespace().map(|count| count.parse::<u32>().unwrap()).sum()
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_hub_that_is_killed_loses_nothing() {
    let project = project_alone(
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 1; done' }] }\n",
        "",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "line 2");
    let before = hub_restarts();
    cluster(&["enter", "sh", "-c", "kill -9 $(pgrep -f '[t]idegate hub') || true"]);
    project.done(child).code(0).nowhere("attempt 2");
    wait("the hub was started again", || (hub_restarts() > before).then_some(()));
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert_eq!(logs.lines().filter(|l| l.contains("line ")).count(), 9, "{logs}");
    wait_gone(&project);
}

/// Its folder goes with it: the agent says all that the engine has not, again.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
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

/// Seconds since this machine started; the step's node is this machine.
fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_line_is_here_within_a_second() {
    let project = project_alone(
        "  a: { steps: [{ run: 'for i in $(seq 40); do cut -d. -f1,2 /proc/uptime; sleep 0.25; done' }] }\n",
        "",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, ".");
    let mut reader = project.spawn(["runs", "logs", "1", "--follow"]);
    let lines = BufReader::new(reader.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Those that were there before the reader came say nothing.
    let began = uptime();
    let mut late: Vec<f64> = lines
        .filter_map(|line| {
            let printed: f64 = line.split_whitespace().rev().nth(1)?.parse().ok()?;
            (printed > began).then(|| uptime() - printed)
        })
        .collect();
    late.sort_by(f64::total_cmp);
    assert!(late.len() > 10, "{late:?}");
    // Nine of ten: this machine does other things, too.
    let ninth = late[late.len() * 9 / 10];
    assert!(ninth < 1.0, "{late:?}");
    reader.wait().unwrap();
    project.done(child).code(0);
    wait_gone(&project);
}

/// The taint that nodes with GPUs have, on all nodes; gone when the test is over.
struct Tainted;

impl Tainted {
    fn new() -> Self {
        kubectl(&["taint", "nodes", "--all", "nvidia.com/gpu=present:NoSchedule"]);
        Self
    }
}

impl Drop for Tainted {
    fn drop(&mut self) {
        kubectl(&["taint", "nodes", "--all", "nvidia.com/gpu-"]);
    }
}

/// A slice has 9728 MiB, its card 81920.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_slice_of_a_gpu_has_a_memory_of_its_own_on_a_node_tainted_for_gpus() {
    let slice = |memory: &str| {
        format!(
            "resources: {{ gpu: {{ count: 1, mig: 1g.10gb, memory: {memory}, product: NVIDIA-A100-SXM4-80GB }} }}"
        )
    };
    let jobs = format!(
        "  first: {{ steps: [{{ run: 'true' }}] }}
  fits: {{ {}, steps: [{{ run: 'echo ran' }}] }}
  large: {{ {}, steps: [{{ run: 'true' }}] }}
",
        slice("9Gi"),
        slice("20Gi")
    );
    let project = project_alone(&jobs, "  pending-timeout: 20s\n");
    // So that the hub is there before the taint is.
    run(&project, &["--job", "first"]).code(0);
    let tainted = Tainted::new();
    run(&project, &["--job", "fits"]).code(0);
    run(&project, &["--job", "large"]).code(1).stdout("unschedulable");
    drop(tainted);
    wait_gone(&project);
}
