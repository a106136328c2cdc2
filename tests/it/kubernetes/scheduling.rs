//! `queue`, `spot`, `checkpoint`: where pods run, when, and what survives when they are taken away.

use super::{apply, beside, cluster, kubectl, made, project, selector, spawn, wait, wait_gone, wait_logs};
use crate::harness::Project;
use std::process::Child;

/// The running pod of an attempt of the project's only job that nobody has told to go yet.
fn running(project: &Project, attempt: &str) -> Option<String> {
    let chosen = format!("{},tidegate.dev/attempt={attempt}", selector(project));
    let pods = kubectl(&["get", "pods", "-l", &chosen, "-o", "json"]);
    let pods: serde_json::Value = serde_json::from_str(&pods).unwrap();
    let stays = |pod: &&serde_json::Value| {
        pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let pod = pods["items"].as_array()?.iter().find(stays)?;
    Some(pod["metadata"]["name"].as_str()?.to_owned())
}

fn there(project: &Project) -> bool {
    selector(project).len() > 30
}

#[test]
fn a_queue_lets_a_job_start_when_it_has_room() {
    let project = project("  a: { queue: research, steps: [{ run: 'echo ran' }] }\n");
    let child = spawn(&project, &[]);
    // As Kueue would: it finds the Job by its label, and lets it go.
    let job = wait("the Job waits", || {
        let found = there(&project).then(|| {
            kubectl(&[
                "get",
                "jobs",
                "-l",
                &format!("{},kueue.x-k8s.io/queue-name=research", selector(&project)),
                "-o",
                "name",
            ])
        })?;
        (!found.trim().is_empty()).then(|| found.trim().to_owned())
    });
    assert_eq!(kubectl(&["get", &job, "-o", "jsonpath={.spec.suspend}"]), "true");
    kubectl(&["patch", &job, "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    project.done(child).code(0);
    wait_gone(&project);
}

/// Evicts the pod of an attempt, as a drain or a spot node's end does.
pub(super) fn evict(project: &Project, child: &mut Child, attempt: &str) {
    let pod = wait("its pod runs", || {
        assert!(child.try_wait().unwrap().is_none(), "the run is over");
        running(project, attempt)
    });
    evict_pod(&pod);
}

/// Evicts a pod.
pub(super) fn evict_pod(pod: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let body = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}","namespace":"default"}}}}"#
    );
    std::fs::write(file.path(), body).unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
    kubectl(&["create", "--raw", &path, "-f", file.path().to_str().unwrap()]);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_spot_job_that_is_preempted_twice_goes_on_from_its_checkpoint() {
    // No node is a spot node yet: the pod waits.
    let project = project(
        "  a:
    spot: true
    checkpoint: { path: state, every: 1s, grace: 5s }
    steps:
      - run: |
          n=$(cat state/epoch 2>/dev/null || echo 0)
          echo \"from epoch $n\"
          while test $n -lt 30; do
            n=$((n + 1)); echo $n > state/new; mv state/new state/epoch; echo epoch $n
            if test $n = 10 || test $n = 20; then sleep 600 & wait; fi
            sleep 0.05
          done
          echo finished at $n
",
    );
    kubectl(&["label", "nodes", "--all", "karpenter.sh/capacity-type-"]);
    let mut child = spawn(&project, &[]);
    wait("it waits for a spot node", || {
        let found =
            there(&project).then(|| kubectl(&["get", "pods", "-l", &selector(&project), "-o", "json"]))?;
        found.contains("Unschedulable").then_some(())
    });
    kubectl(&["label", "nodes", "--all", "karpenter.sh/capacity-type=spot"]);
    for (attempt, stop) in [("1", "\nepoch 10\n"), ("2", "\nepoch 20\n")] {
        wait_logs(&project, &["--attempt", attempt], stop);
        evict(&project, &mut child, attempt);
    }
    let done = project.done(child).code(0).stdout("preempted").stdout("attempt 3");
    done.stdout("continues from the checkpoint in state");
    kubectl(&["label", "nodes", "--all", "karpenter.sh/capacity-type-"]);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("from epoch 20").stdout("finished at 30");
    for (attempt, last) in [("1", "\nepoch 10\n"), ("2", "\nepoch 20\n")] {
        project.tidegate(["runs", "logs", "1", "--attempt", attempt]).code(0).stdout(last);
    }
    wait_gone(&project);
}

/// A volume that is a folder of the node, and a claim to it; both go when the test is over.
struct Claim(String);

impl Claim {
    fn new() -> Self {
        let name = format!("test-state-{}", std::process::id());
        cluster(&["enter", "sh", "-c", &format!("mkdir -m 777 /tmp/{name}")]);
        apply(&format!(
            r#"{{"apiVersion":"v1","kind":"PersistentVolume","metadata":{{"name":"{name}"}},"spec":{{"capacity":{{"storage":"1Gi"}},
"accessModes":["ReadWriteOncePod"],"storageClassName":"{name}","hostPath":{{"path":"/tmp/{name}"}}}}}}"#
        ));
        apply(&format!(
            r#"{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"{name}","namespace":"default"}},"spec":{{
"accessModes":["ReadWriteOncePod"],"storageClassName":"{name}","resources":{{"requests":{{"storage":"1Gi"}}}}}}}}"#
        ));
        Self(name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        kubectl(&["delete", "persistentvolumeclaim", &self.0, "--wait=false"]);
        kubectl(&["delete", "persistentvolume", &self.0, "--wait=false"]);
        cluster(&["enter", "rm", "-rf", &format!("/tmp/{}", self.0)]);
    }
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_checkpoint_on_a_claim_is_there_for_the_next_attempt() {
    let _guard = beside();
    let claim = Claim::new();
    let jobs = format!(
        "  a:
    checkpoint: {{ path: state, volume: '{}' }}
    steps:
      - run: |
          n=$(cat state/epoch 2>/dev/null || echo 0)
          echo \"from epoch $n\"
          echo 7 > state/new; mv state/new state/epoch; echo reached 7
          case $HOSTNAME in *-0-1-*) sleep 600;; esac
",
        claim.0
    );
    let project = made(&jobs, "");
    let mut child = spawn(&project, &[]);
    super::wait_log(&project, "reached 7");
    evict(&project, &mut child, "1");
    let done = project.done(child).code(0).stdout("preempted").stdout("attempt 2");
    done.stdout("continues from the checkpoint in state");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("from epoch 7");
    let saved = project.path().join(".tidegate/checkpoints");
    let pods = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().ends_with(".pods")
    };
    assert!(!saved.exists() || !saved.read_dir().unwrap().any(pods), "nothing is saved as an artifact");
    wait_gone(&project);
}
