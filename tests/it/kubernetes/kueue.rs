//! `queue` with the real Kueue: `tests/cluster/cluster kueue up` puts it into the tests' own cluster.
//!
//! An agent asks for 20m of a processor and 32 MiB beside what its job asks for.

use super::adoption::pods_made;
use super::*;
use std::sync::Once;
use tidegate_edge::store::{RunLog as _, Store};
use tidegate_flow::run::{EventKind, RunEvent};

/// A queue of a cluster queue of its own; both go when the test is over.
struct Queue(String);

/// A cluster-wide class of jobs' importance.
struct Class(String);

fn quota(resource: &str, amount: &str) -> String {
    format!(r#"{{"name":"{resource}","nominalQuota":"{amount}"}}"#)
}

impl Queue {
    /// One with so many processors, and memory enough.
    fn new(name: &str, cpu: &str) -> Self {
        Self::with(name, &["cpu", "memory"], &[quota("cpu", cpu), quota("memory", "8Gi")])
    }

    fn with(name: &str, resources: &[&str], quotas: &[String]) -> Self {
        let name = format!("test-{name}-{}", std::process::id());
        let kueue = r#""apiVersion":"kueue.x-k8s.io/v1beta2""#;
        // One for all queues: two that applied it at the same time would both make it.
        static FLAVOR: Once = Once::new();
        FLAVOR.call_once(|| {
            apply(&format!(r#"{{{kueue},"kind":"ResourceFlavor","metadata":{{"name":"any"}}}}"#));
        });
        let (covered, quotas) = (resources.join("\",\""), quotas.join(","));
        apply(&format!(
            r#"{{{kueue},"kind":"ClusterQueue","metadata":{{"name":"{name}"}},"spec":{{"namespaceSelector":{{}},
"preemption":{{"withinClusterQueue":"LowerPriority"}},"resourceGroups":[{{"coveredResources":["{covered}"],
"flavors":[{{"name":"any","resources":[{quotas}]}}]}}]}}}}"#
        ));
        apply(&format!(
            r#"{{{kueue},"kind":"LocalQueue","metadata":{{"name":"{name}","namespace":"default"}},"spec":{{"clusterQueue":"{name}"}}}}"#
        ));
        wait("the queue takes jobs", || {
            let path = "jsonpath={.status.conditions[?(@.type==\"Active\")].status}";
            (kubectl(&["get", "localqueue", &name, "-o", path]) == "True").then_some(())
        });
        Self(name)
    }

    /// Stops it, or lets it go on: `Hold`, `HoldAndDrain`, `None`.
    fn is(&self, policy: &str) {
        let patch = format!(r#"{{"spec":{{"stopPolicy":"{policy}"}}}}"#);
        kubectl(&["patch", "clusterqueue", &self.0, "--type=merge", "-p", &patch]);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for kind in ["localqueue", "clusterqueue"] {
            let _ = command(&kubectl_program(), &["delete", kind, &self.0, "--wait=false"]).output();
        }
    }
}

impl Class {
    fn new(name: &str, value: u32) -> Self {
        let name = format!("test-{name}-{}", std::process::id());
        apply(&format!(
            r#"{{"apiVersion":"kueue.x-k8s.io/v1beta2","kind":"WorkloadPriorityClass","metadata":{{"name":"{name}"}},"value":{value}}}"#
        ));
        Self(name)
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        let _ = command(&kubectl_program(), &["delete", "workloadpriorityclass", &self.0]).output();
    }
}

/// A queue was drained under the first attempt, and the second one went through.
#[track_caller]
fn lost_its_place_once(done: Done) {
    let done = done.stdout("preempted: its Job was suspended by Kueue").stdout("The ClusterQueue is stopped");
    done.stdout("attempt 2").nowhere("attempt 3");
}

/// Waits until `runs show` says so of the only run.
fn wait_shown(project: &Project, text: &str) {
    wait(&format!("it is shown: {text}"), || {
        project.tidegate(["runs", "show", "1"]).stdout.contains(text).then_some(())
    });
}

/// The Workloads of this project's Jobs.
fn workloads(project: &Project) -> Vec<String> {
    let uids = kubectl(&["get", "jobs", "-l", &selector(project), "-o", "jsonpath={.items[*].metadata.uid}"]);
    let uids = uids.split_whitespace().collect::<Vec<_>>().join(",");
    let chosen = format!("kueue.x-k8s.io/job-uid in ({uids})");
    let found = kubectl(&["get", "workloads", "-l", &chosen, "-o", "jsonpath={.items[*].metadata.name}"]);
    found.split_whitespace().map(str::to_owned).collect()
}

/// How often the log of the only run says what an attempt waits for.
fn times_told(project: &Project) -> usize {
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let run = store.find("1").unwrap().unwrap().run;
    let told = |event: &RunEvent| matches!(event.kind, EventKind::AttemptWaiting { .. });
    store.events(&run, 0).unwrap().iter().filter(|event| told(event)).count()
}

/// Two jobs of a matrix that each take what the queue has, and say when they ran.
fn one_by_one(queue: &Queue, resources: &str, waits: &str) {
    let project = project(&format!(
        "  a:
    strategy: {{ matrix: {{ n: [1, 2] }} }}
    queue: {}
    resources: {resources}
    steps: [{{ run: 'echo \"from $(date +%s) on\"; sleep 9; echo \"until $(date +%s) on\"' }}]
",
        queue.0
    ));
    let done = run(&project, &[]).code(0);
    done.stdout(&format!("waits: it waits in the queue `{}`: {waits}", queue.0));
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    let at = |word: &str| {
        let times =
            logs.lines().filter_map(|line| line.split_once(word)?.1.split_once(" on")?.0.parse().ok());
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        times
    };
    let (from, until) = (at("from "), at("until "));
    assert!(from.len() == 2 && until.len() == 2 && until[0] <= from[1], "one after the other: {logs}");
    wait_gone(&project);
}

#[test]
#[ignore = "needs Kueue"]
fn a_queue_with_room_for_one_has_two_run_one_after_the_other() {
    let queue = Queue::new("one", "1");
    one_by_one(&queue, "{ cpu: 700m }", "insufficient unused quota for cpu");
}

#[test]
#[ignore = "needs Kueue"]
fn a_queue_of_gpus() {
    let quotas = [quota("nvidia.com/gpu", "1"), quota("cpu", "4"), quota("memory", "8Gi")];
    let queue = Queue::with("gpu", &["nvidia.com/gpu", "cpu", "memory"], &quotas);
    one_by_one(&queue, "{ gpu: 1 }", "insufficient unused quota for nvidia.com/gpu");
}

#[test]
#[ignore = "needs Kueue"]
fn a_more_important_job_takes_the_place_of_one_that_goes_on_from_its_checkpoint_later() {
    let (queue, high) = (Queue::new("taken", "1"), Class::new("high", 100));
    let low = project(&format!(
        "  a:
    queue: {}
    resources: {{ cpu: 700m }}
    checkpoint: {{ path: state, every: 1s, grace: 5s }}
    steps:
      - run: |
          n=$(cat state/epoch 2>/dev/null || echo 0)
          echo \"from epoch $n\"
          while test $n -lt 20; do
            n=$((n + 1)); echo $n > state/new; mv state/new state/epoch; echo epoch $n
            if test $n = 10; then sleep 600 & wait; fi
          done
          echo finished at $n
",
        queue.0
    ));
    let first = spawn(&low, &[]);
    wait_log(&low, "\nepoch 10\n");
    let more = made(
        &format!(
            "  b: {{ queue: {{ name: {}, priority: {} }}, resources: {{ cpu: 700m }}, steps: [{{ run: 'until test -e /tmp/go; do sleep 0.2; done' }}] }}\n",
            queue.0, high.0
        ),
        "",
    );
    let second = spawn(&more, &[]);
    // It starts, so it has the place; the other one stands in the queue again.
    wait("the more important one runs", || {
        let args = ["get", "pods", "-l", &selector(&more), "-o", "jsonpath={.items[*].status.phase}"];
        (selector(&more).len() > 30 && kubectl(&args) == "Running").then_some(())
    });
    wait_shown(&low, "insufficient unused quota for cpu");
    let_go(&more, "b");
    more.done(second).code(0).nowhere("attempt 2");
    let done = low.done(first).code(0).stdout("attempt 2").nowhere("attempt 3");
    done.stdout("preempted: its Job was suspended by Kueue")
        .stdout("Preempted to accommodate a workload due to prioritization in the ClusterQueue")
        .stdout("continues from the checkpoint in state");
    let log = low.tidegate(["runs", "logs", "1", "--attempt", "2"]).code(0);
    log.stdout("from epoch 10").stdout("finished at 20");
    wait_gone(&low);
    wait_gone(&more);
}

#[test]
#[ignore = "needs Kueue"]
fn queues_that_let_nobody_in_say_so_until_the_time_is_up() {
    let (queue, held, stopped) = (Queue::new("small", "1"), Queue::new("held", "1"), Queue::new("off", "1"));
    held.is("Hold");
    let patch = r#"{"spec":{"stopPolicy":"Hold"}}"#;
    kubectl(&["patch", "localqueue", &stopped.0, "--type=merge", "-p", patch]);
    let project = project_with(
        &format!(
            "  none: {{ queue: no-such-queue, steps: [{{ run: 'true' }}] }}
  held: {{ queue: {}, steps: [{{ run: 'true' }}] }}
  stopped: {{ queue: {}, steps: [{{ run: 'true' }}] }}
  large: {{ queue: {q}, resources: {{ cpu: 2 }}, steps: [{{ run: 'true' }}] }}
  wide: {{ queue: {q}, nodes: 3, resources: {{ cpu: 400m }}, steps: [{{ run: 'true' }}] }}
  gpus: {{ queue: {q}, resources: {{ gpu: 1 }}, steps: [{{ run: 'true' }}] }}
  class: {{ queue: {{ name: {q}, priority: no-such-class }}, steps: [{{ run: 'true' }}] }}
",
            held.0,
            stopped.0,
            q = queue.0
        ),
        "  pending-timeout: 40s\n",
    );
    let done = run(&project, &[]).code(1);
    let said = [
        "`no-such-queue`: LocalQueue no-such-queue doesn't exist".to_owned(),
        format!("`{h}`: ClusterQueue {h} is inactive", h = held.0),
        format!("`{s}`: LocalQueue {s} is inactive", s = stopped.0),
        "it asks for what the queue never has: insufficient quota for cpu in flavor any".to_owned(),
        "it asks for what the queue never has: resource nvidia.com/gpu unavailable".to_owned(),
        "is there a WorkloadPriorityClass `no-such-class`?".to_owned(),
    ];
    for text in said {
        assert!(done.stdout.matches(&text).count() >= 2, "{text}: {}", done.stdout);
    }
    assert_eq!(done.stdout.matches("(`pending-timeout`)").count(), 7, "{}", done.stdout);
    done.stdout("`kubectl get localqueues` names those that are there").stdout("say who stopped it");
    wait_gone(&project);
}

#[test]
#[ignore = "needs Kueue"]
fn a_queue_that_is_drained_and_opened_again() {
    let queue = Queue::new("drained", "1");
    let project = project(&format!(
        "  a: {{ queue: {}, steps: [{{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }}] }}\n",
        queue.0
    ));
    let child = spawn(&project, &[]);
    wait_log(&project, "started");
    queue.is("HoldAndDrain");
    wait_shown(&project, &format!("ClusterQueue {} is inactive", queue.0));
    queue.is("None");
    lost_its_place_once(project.done(child).code(0));
    wait_gone(&project);
}

#[test]
#[ignore = "needs Kueue"]
fn a_job_that_waits_in_a_queue_is_cancelled_and_leaves_it() {
    let queue = Queue::new("left", "1");
    queue.is("Hold");
    let project = project(&format!("  a: {{ queue: {}, steps: [{{ run: 'true' }}] }}\n", queue.0));
    let child = spawn(&project, &[]);
    wait_shown(&project, "is inactive");
    let waiting = workloads(&project);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    cancelled(&project, child);
    wait_gone(&project);
    wait("nobody stands in the queue", || {
        (!kubectl(&["get", "workloads", "-o", "name"]).contains(&waiting[0])).then_some(())
    });
}

#[test]
#[ignore = "needs Kueue"]
fn an_engine_that_is_killed_while_its_job_is_queued() {
    let queue = Queue::new("killed", "1");
    queue.is("Hold");
    let project = project(&format!(
        "  a: {{ queue: {q}, steps: [{{ run: 'echo ran' }}] }}\n  b: {{ queue: {q}, needs: a, steps: [{{ run: 'echo ran' }}] }}\n",
        q = queue.0
    ));
    let mut child = spawn(&project, &[]);
    wait_shown(&project, "is inactive");
    child.kill().unwrap();
    child.wait().unwrap();
    // The next one finds it where it was, and is killed, too; then nobody is there when the queue lets it go.
    let mut child = spawn(&project, &["--resume", "1"]);
    wait("it says again what it waits for", || (times_told(&project) == 2).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    queue.is("None");
    wait("its pod was made", || {
        (!kubectl(&["get", "pods", "-l", &selector(&project), "-o", "name"]).trim().is_empty()).then_some(())
    });
    run(&project, &["--resume", "1"]).code(0).nowhere("attempt 2");
    let pods = pods_made(&project, 2);
    assert!(pods.len() == 2 && pods.values().all(|made| *made == 1), "{pods:?}");
    wait_gone(&project);
}

/// Kueue takes the place away while no engine looks: the next one finds a suspended Job without a pod.
#[test]
#[ignore = "needs Kueue"]
fn a_job_that_loses_its_place_while_no_engine_is_there() {
    let queue = Queue::new("unseen", "1");
    let project = project(&format!(
        "  a: {{ queue: {}, steps: [{{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }}] }}\n",
        queue.0
    ));
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    queue.is("HoldAndDrain");
    // Its agent keeps the receipt for an engine for a while.
    wait("its pod is gone", || {
        kubectl(&["get", "pods", "-l", &selector(&project), "-o", "name"]).trim().is_empty().then_some(())
    });
    let child = spawn(&project, &["--resume", "1"]);
    wait_shown(&project, &format!("ClusterQueue {} is inactive", queue.0));
    queue.is("None");
    lost_its_place_once(project.done(child).code(0));
    wait_gone(&project);
}

#[test]
#[ignore = "needs Kueue"]
fn several_nodes_start_together_when_there_is_room_for_all() {
    let queue = Queue::new("nodes", "1");
    let first = project(&format!(
        "  a: {{ queue: {}, resources: {{ cpu: 400m }}, steps: [{{ run: 'echo started; until test -e /tmp/go; do sleep 0.2; done' }}] }}\n",
        queue.0
    ));
    let child = spawn(&first, &[]);
    wait_log(&first, "started");
    let wide = made(
        &format!(
            "  wide: {{ queue: {}, nodes: 2, resources: {{ cpu: 400m }}, steps: [{{ run: 'echo $NODE_RANK of $NNODES' }}] }}\n",
            queue.0
        ),
        "",
    );
    let second = spawn(&wide, &[]);
    // There is room for one of the two.
    wait_shown(&wide, "insufficient unused quota for cpu in flavor any, 260m more needed");
    let pods = kubectl(&["get", "pods", "-l", &selector(&wide), "-o", "name"]);
    assert_eq!(pods.trim(), "");
    let_go(&first, "a");
    first.done(child).code(0);
    wide.done(second).code(0).nowhere("attempt 2");
    wide.tidegate(["runs", "logs", "1", "--node", "1"]).code(0).stdout("1 of 2");
    wait_gone(&first);
    wait_gone(&wide);
}

#[test]
#[ignore = "needs Kueue"]
fn a_workload_that_somebody_deletes() {
    let queue = Queue::new("deleted", "1");
    queue.is("Hold");
    let project = project(&format!(
        "  a: {{ queue: {}, steps: [{{ run: 'echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }}] }}\n",
        queue.0
    ));
    let child = spawn(&project, &[]);
    wait_shown(&project, "is inactive");
    let delete = || {
        let found = workloads(&project);
        assert_eq!(found.len(), 1, "{found:?}");
        kubectl(&["delete", "workload", &found[0]]);
    };
    // Kueue makes another one while it waits, and takes the pod away while it runs.
    delete();
    queue.is("None");
    wait_log(&project, "started");
    delete();
    let done = project.done(child).code(0).stdout("attempt 2").nowhere("attempt 3");
    // There is room, so Kueue may let it go on before the engine sees that it was suspended.
    let said = ["preempted: its Job was suspended", "lost: its pod was deleted while it ran"];
    assert!(said.iter().any(|said| done.stdout.contains(said)), "{done:?}");
    wait_gone(&project);
}

#[test]
#[ignore = "needs Kueue"]
fn the_plan_of_a_job_in_a_queue() {
    let (queue, class) = (Queue::new("plan", "1"), Class::new("plan", 7));
    let project = project(&format!(
        "  a: {{ queue: {{ name: {}, priority: {} }}, steps: [{{ run: 'true' }}] }}\n",
        queue.0, class.0
    ));
    let plan = |more: &[&str]| {
        let args = [&["plan", "--on", "kubernetes"], more].concat();
        project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())]).code(0)
    };
    plan(&["--server"]).stdout(&format!("through the queue {}, with priority {}", queue.0, class.0));
    plan(&["--format", "yaml"]).stdout(&format!("kueue.x-k8s.io/priority-class: {}", class.0));
    assert_eq!(workloads(&project), [""; 0]);
}
