//! Engines that are killed, told to go, moved; and two stores in one namespace.

use super::thin::CHAIN;
use super::*;
use std::io::{BufRead as _, BufReader};

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_engine_killed_in_the_middle_goes_on_with_its_pods() {
    let jobs =
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; until test $i != 3 || test -e /tmp/go; do sleep 0.2; done; sleep 0.5; done' }] }
  b: { needs: a, steps: [{ run: 'echo last' }] }
";
    let place = Detached::new("kill", jobs);
    let number = place.submit(&[]);
    place.wait_log(&number, "line 2");
    let args = ["runs", "watch", &number, "--on", "kubernetes", "--format", "json"];
    let watcher = place.spawn(&args);
    // The engine's processes die at once; its container starts again in the same pod.
    place.kill_engine();
    let pod = place.kubectl(&["get", "pods", "-l", "tidegate.dev/job=a", "-o", "name"]);
    place.kubectl(&["exec", pod.trim(), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    let seen = place.place.project.done(watcher).code(0);
    let kinds = seen.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let count = |kind: &str| kinds.clone().filter(|event| event["kind"].get(kind).is_some()).count();
    assert_eq!((count("run-created"), count("attempt-started"), count("run-ended")), (1, 2, 1));
    assert_eq!(count("engine-started"), 1, "taken up once");
    let logs = place.asked(&["runs", "logs", &number]).code(0).stdout;
    assert_eq!(logs.lines().filter(|line| line.contains("line ")).count(), 12, "{logs}");
    assert_eq!(place.pods_made(2), [1, 1]);
    place.wait_gone();
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_engine_killed_at_some_moments_makes_every_pod_once() {
    let place = Detached::new("moments", CHAIN);
    place.write("data.txt", "data\n");
    let moments = ["run-created", "attempt-started", "step-started", "attempt-ended"];
    for moment in moments {
        let number = place.submit(&[]);
        let mut watcher = place.spawn(&["runs", "watch", &number, "--on", "kubernetes", "--format", "json"]);
        let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(moment)), "{moment}");
        place.kill_engine();
        assert!(lines.any(|line| line.contains("\"run-ended\"")), "killed at {moment}");
        assert_eq!(watcher.wait().unwrap().code(), Some(0), "killed at {moment}");
        let said = place.asked(&["runs", "show", &number]).code(0);
        said.nowhere("attempt 2");
    }
    assert_eq!(place.pods_made(8), [1; 8]);
    place.wait_gone();
}

/// A volume of this machine, which only the test cluster's node is.
fn volume(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let made = serde_json::json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": name,
            "hostPath": { "path": folder.path() },
        },
    });
    apply(&made.to_string());
    folder
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_store_on_a_volume_outlives_the_engines_pod() {
    let jobs = "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo line $i; sleep 2; done' }] }
  b: { needs: a, steps: [{ run: 'echo last' }] }
";
    let place = Detached::bare("volume", jobs);
    let class = place.space.0.clone();
    let folder = volume(&class);
    let install = ["install", "--volume", "1Gi", "--storage-class", &class];
    let done = place.tidegate(&install).code(0);
    assert_eq!(done.stderr, "", "nothing to warn of");
    let number = place.submit(&[]);
    place.wait_log(&number, "line 1");
    let args = ["runs", "watch", &number, "--on", "kubernetes"];
    let watcher = place.spawn(&args);
    // Renewed: told to go, the first one leaves the run to the next, which need not wait for the lease.
    let first = place.engine(".metadata.name");
    let renewed = [&install[..], &["--hub-volume", "1Gi"]].concat();
    place.tidegate(&renewed).code(0);
    assert!(!place.engine(".metadata.name").contains(&first));
    let said = place.kubectl(&["logs", "deploy/tidegate-engine"]);
    assert!(!said.contains("waits for its turn"), "{said}");
    place.wait_log(&number, "line 6");
    // Gone without a word.
    place.kubectl(&["delete", "pod", &place.engine(".metadata.name"), "--grace-period=0", "--force"]);
    place.place.project.done(watcher).code(0).stdout("passed").nowhere("attempt 2");
    let logs = place.asked(&["runs", "logs", &number]).code(0).stdout;
    assert_eq!(logs.lines().filter(|line| line.contains("line ")).count(), 20, "{logs}");
    assert_eq!(place.pods_made(2), [1, 1]);
    place.wait_gone();
    kubectl(&["delete", "pv", &class, "--wait=false"]);
    drop(folder);
}

#[test]
fn of_two_engines_one_waits() {
    let place = Detached::new("two", "  a: { steps: [{ run: 'echo started; sleep 5' }] }\n");
    place.kubectl(&["scale", "deployment", "tidegate-engine", "--replicas=2"]);
    wait("both run", || (place.engine(".status.containerStatuses[0].ready") == "true true").then_some(()));
    wait("one of them waits", || {
        let chosen = ["logs", "-l", "app.kubernetes.io/name=tidegate-engine", "--prefix", "--tail=-1"];
        let said = place.kubectl(&chosen);
        said.contains("is the engine; this one waits for its turn").then_some(())
    });
    for _ in 0..3 {
        place.submit(&[]);
    }
    place.wait_gone();
    assert_eq!(place.pods_made(3), [1; 3]);
}

#[test]
fn a_log_that_went_with_its_pod_is_said_and_its_jobs_go() {
    let place = Detached::new("lost", "  a: { steps: [{ run: 'echo started; sleep 600' }] }\n");
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    place.kubectl(&["delete", "pod", &place.engine(".metadata.name"), "--wait=false"]);
    let notes = wait("the next engine says so", || {
        let notes = place.notes();
        notes.contains("refused").then_some(notes)
    });
    assert!(notes.contains("its log is lost with the store that it was in"), "{notes}");
    wait("its Jobs are gone", || {
        let left = place.kubectl(&["get", "jobs,pods", "-l", "tidegate.dev/store", "-o", "name"]);
        left.trim().is_empty().then_some(())
    });
    assert_eq!(place.pods_made(1), [1], "it was not started again");
}

#[test]
fn an_engine_and_a_laptop_leave_each_others_jobs_alone() {
    let jobs = "  a: { steps: [{ run: 'echo started; sleep 15; echo done' }] }\n";
    let place = Detached::new("stores", jobs);
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    let laptop = place.beside(jobs);
    let child = spawn(&laptop, &[]);
    wait_log(&laptop, "started");
    let kubeconfig = kubeconfig();
    let gc = laptop.tidegate_with(["runs", "gc", "--on", "kubernetes"], &[("KUBECONFIG", &kubeconfig)]);
    gc.code(0).stdout("nothing of this store is left");
    let gc = place.kubectl(&[
        "exec",
        "deploy/tidegate-engine",
        "--",
        "/tidegate",
        "runs",
        "gc",
        "--on",
        "kubernetes",
    ]);
    assert!(gc.contains("nothing of this store is left"), "{gc}");
    laptop.done(child).code(0).nowhere("attempt 2");
    place.watch(&number).code(0).nowhere("attempt 2");
    assert_eq!(place.pods_made(2), [1, 1]);
}

/// Makes all files below a folder two days old.
fn age(folder: &Path) {
    let old = std::fs::FileTimes::new().set_modified(std::time::SystemTime::now() - Duration::from_hours(48));
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            age(&entry.path());
        }
        std::fs::File::open(entry.path()).unwrap().set_times(old).unwrap();
    }
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn what_old_runs_hold_goes_by_itself_and_their_record_stays() {
    let place = Detached::bare("keep", "  a: { steps: [{ run: 'echo kept for a while' }] }\n");
    let class = place.space.0.clone();
    let folder = volume(&class);
    place.tidegate(&["install", "--volume", "1Gi", "--storage-class", &class, "--keep", "a while"]).code(2);
    place.tidegate(&["install", "--volume", "1Gi", "--storage-class", &class, "--keep", "0s"]).code(0);
    let number = place.submit(&[]);
    place.watch(&number).code(0);
    place.asked(&["runs", "logs", &number]).code(0).stdout("kept for a while");
    place.wait_gone();
    for kept in ["objects", "runs"] {
        age(&folder.path().join("store").join(kept));
    }
    // It looks a minute after its start, and then daily.
    place.kill_engine();
    wait_long("the log is gone", 480, || {
        let logs = place.asked(&["runs", "logs", &number]);
        logs.stderr.contains("were collected").then_some(())
    });
    place.asked(&["runs", "show", &number]).code(0).stdout("passed");
    wait("the engine says so", || {
        let said = place.kubectl(&["logs", "deploy/tidegate-engine"]);
        said.contains("freed in the engine's store").then_some(())
    });
    kubectl(&["delete", "pv", &class, "--wait=false"]);
    drop(folder);
}
