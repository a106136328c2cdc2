//! `nodes: N`: pods that find each other, start together and end together.

use super::scheduling::evict_pod;
use super::{
    Namespace, Place, cancelled, kubectl, project, project_with, run, selector, spawn, wait, wait_gone,
    wait_log,
};
use crate::harness::Project;

#[test]
fn two_nodes_find_each_other_and_node_0_counts() {
    let project = project(
        "  a:
    nodes: 2
    outputs: { said: '${{ steps.talk.outputs.said }}' }
    steps:
      - id: talk
        run: |
          echo \"rank $NODE_RANK of $NNODES at $MASTER_ADDR:$MASTER_PORT, $PET_NODE_RANK $PET_NNODES $NPROC_PER_NODE\"
          if test $NODE_RANK = 0; then
            echo said=$(nc -l -p $MASTER_PORT < /dev/null) >> $GITHUB_OUTPUT
            echo root > who
          else
            until echo hello from rank $NODE_RANK | nc $MASTER_ADDR $MASTER_PORT; do sleep 0.2; done
            echo other > who
          fi
    produces: { who: who }
  b:
    needs: a
    consumes: { who: '${{ needs.a.artifacts.who }}' }
    steps: [{ run: 'echo \"$(cat who) heard ${{ needs.a.outputs.said }}\"' }]
",
    );
    run(&project, &[]).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("rank 0 of 2").stdout("root heard hello from rank 1");
    project.tidegate(["runs", "logs", "1", "a", "--node", "1"]).code(0).stdout("rank 1 of 2");
    wait_gone(&project);
    wait("their Service is gone", || {
        let services = kubectl(&["get", "services", "-l", &selector(&project), "-o", "name"]);
        services.trim().is_empty().then_some(())
    });
}

/// Each node writes into its own folder; the next attempt of all begins with node 0's.
#[test]
fn a_checkpoint_is_that_of_node_0() {
    let project = project(
        "  a:
    nodes: 2
    retry: { attempts: 2 }
    checkpoint: { path: state, every: 1s }
    steps:
      - run: |
          if test -e state/rank; then echo node $NODE_RANK began with $(cat state/rank); exit 0; fi
          # What node 1 saved would come last.
          test $NODE_RANK = 0 || sleep 3
          echo rank $NODE_RANK > state/rank
          test $NODE_RANK = 0 || sleep 60
          sleep 8; exit 3
",
    );
    run(&project, &[]).code(0).stdout("attempt 2");
    for node in ["0", "1"] {
        let logs = project.tidegate(["runs", "logs", "1", "--node", node]).code(0);
        logs.stdout(&format!("node {node} began with rank 0"));
    }
    wait_gone(&project);
}

#[test]
fn a_rank_that_fails_ends_the_others_at_once() {
    let project = project(
        "  a:
    nodes: 2
    steps: [{ run: 'echo rank $NODE_RANK; test $NODE_RANK = 0 || exit 5; sleep 600' }]
",
    );
    run(&project, &[]).code(1).stdout("node 1: exit 5");
    wait_gone(&project);
}

#[test]
fn a_cancel_ends_all_nodes() {
    let project = project("  a: { nodes: 2, steps: [{ run: 'echo started; sleep 600' }] }\n");
    let child = spawn(&project, &[]);
    wait("both say something", || {
        let said =
            |node: &str| project.tidegate(["runs", "logs", "1", "--node", node]).stdout.contains("started");
        (said("0") && said("1")).then_some(())
    });
    cancelled(&project, child);
    wait_gone(&project);
}

/// The first pod is there and waits for the other, for which there is no room.
fn half_placed(name: &str, config: &str) -> (Place, Namespace) {
    let job = "  a: { nodes: 2, resources: { cpu: 0.3 }, steps: [{ run: 'echo ran' }] }\n";
    let namespace = Namespace::new(name, "");
    namespace.quota("requests.cpu", "600m");
    (project_with(job, config), namespace)
}

#[test]
fn a_quota_with_room_for_some_of_the_nodes_is_said() {
    let (project, namespace) = half_placed("some", "  pending-timeout: 15s\n");
    let done = run(&project, &["--namespace", &namespace.0]).code(1);
    done.stdout("waits: a quota of the namespace is used up").stdout("unschedulable: a quota");
}

/// No step has begun: nothing has to be waited for but the pod that is there.
#[test]
fn a_cancel_does_not_wait_for_nodes_that_never_came() {
    let (project, namespace) = half_placed("half", "");
    let child = spawn(&project, &["--namespace", &namespace.0]);
    wait("the first pod runs", || {
        let query = "jsonpath={.items[*].status.phase}";
        let phases = kubectl(&["get", "pods", "-n", &namespace.0, "-l", &selector(&project), "-o", query]);
        (phases.trim() == "Running").then_some(())
    });
    wait("it waits for the other", || {
        let shown = project.tidegate(["runs", "show", "1"]).stdout;
        shown.contains("waits: a quota of the namespace is used up").then_some(())
    });
    cancelled(&project, child);
}

/// Its pod has ended a minute after its receipt; the other one goes on.
#[test]
fn a_node_that_is_done_long_before_the_others_is_not_missed() {
    let project = project(
        "  a: { nodes: 2, steps: [{ run: 'echo node $NODE_RANK; test $NODE_RANK = 1 || sleep 80' }] }\n",
    );
    run(&project, &[]).code(0);
    wait_gone(&project);
}

/// The pod of a node of the first attempt.
fn pod_of(project: &Project, node: u32) -> String {
    let chosen = format!(
        "{},tidegate.dev/attempt=1,batch.kubernetes.io/job-completion-index={node}",
        selector(project)
    );
    kubectl(&["get", "pods", "-l", &chosen, "-o", "jsonpath={.items[*].metadata.name}"]).trim().to_owned()
}

/// Node 0 fails at once when its peer goes, as programs that train together do; node 1 has more to do before it is over.
const TOGETHER: &str = "
          case $HOSTNAME in *-0-2-*) exit 0;; esac
          if test $NODE_RANK = 0; then
            mkfifo /tmp/f
            sleep 600 > /tmp/f &
            nc -l -p $MASTER_PORT < /tmp/f
            echo my peer is gone
            exit 1
          fi
          mkfifo /tmp/f
          (echo hello; sleep 600) > /tmp/f &
          until nc $MASTER_ADDR $MASTER_PORT < /tmp/f; do sleep 0.2; done
      - { if: 'always()', run: 'test $NODE_RANK = 0 || sleep 2' }
";

#[test]
fn a_node_that_is_evicted_is_the_cause_and_not_its_peer() {
    let project = project(&format!("  a:\n    nodes: 2\n    steps:\n      - run: |{TOGETHER}"));
    let child = spawn(&project, &[]);
    wait_log(&project, "hello");
    evict_pod(&pod_of(&project, 1));
    let done = project.done(child).code(0).stdout("attempt 2");
    done.stdout("preempted: node 1: taken off its node (EvictionByEvictionAPI)");
    wait_gone(&project);
    project.tidegate(["runs", "logs", "1", "--attempt", "1"]).code(0).stdout("my peer is gone");
}

#[test]
fn a_node_without_memory_is_the_cause_and_not_its_peer() {
    let project = project(
        "  a:
    nodes: 2
    resources: { memory: 40Mi }
    steps:
      - run: |
          mkfifo /tmp/f
          if test $NODE_RANK = 0; then
            sleep 600 > /tmp/f &
            nc -l -p $MASTER_PORT < /tmp/f
            exit 1
          fi
          (echo hello; sleep 600) > /tmp/f &
          (until nc $MASTER_ADDR $MASTER_PORT < /tmp/f; do sleep 0.2; done) &
          sleep 5
          sh -c '(head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null)'; exit $?
",
    );
    run(&project, &[]).code(1).stdout("oom: node 1: killed ").stdout("raise `resources.memory`");
    wait_gone(&project);
}
