//! Requests that are wrong, deleted, made at once, or never made; and what of them is seen.

use super::*;

const LONG: &str =
    "  a: { steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n";

/// A request with this in it, made by hand.
fn request(place: &Detached, name: &str, run: &str) {
    apply(
        &serde_json::json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": place.space.0, "labels": { "tidegate.dev/run-request": "" } },
            "stringData": { "run": run, "secrets": "{\"WORD\":\"hush\"}" },
        })
        .to_string(),
    );
}

#[test]
fn a_request_that_is_wrong_is_refused_where_it_lies() {
    let place = Detached::new("wrong", "  a: { steps: [{ run: 'true' }] }\n");
    request(&place, "tidegate-run-01jdxyz", "no json");
    request(&place, "tidegate-run-01jdxyw", r#"{"v":9,"run":{}}"#);
    // One that was right, under another name, and one whose jobs are not those of its files.
    let number = place.submit(&[]);
    place.watch(&number).code(0);
    let notes = wait("both are refused", 60, || {
        let notes = place.notes();
        (notes.matches("tidegate.dev/refused").count() == 2).then_some(notes)
    });
    assert!(notes.contains("the run cannot be read"), "{notes}");
    // The request that was right goes a moment after its run's end.
    wait("what they held is thrown away", 60, || {
        let label = "tidegate.dev/run-request";
        let held = place.kubectl(&["get", "secrets", "-l", label, "-o", "jsonpath={.items[*].data}"]);
        held.trim().is_empty().then_some(())
    });
    assert_eq!(place.engine(".status.containerStatuses[0].restartCount"), "0");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_request_that_is_deleted_ends_its_run_also_while_no_engine_is_there() {
    let place = Detached::new("deleted", LONG);
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    place.kubectl(&["delete", "secrets", "-l", "tidegate.dev/run-request"]);
    place.watch(&number).code(5).stdout("its request was deleted");
    place.asked(&["runs", "logs", &number]).stdout("cleaned up");
    place.wait_gone();
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    // While its container starts again.
    place.kill_engine();
    place.kubectl(&["delete", "secrets", "-l", "tidegate.dev/run-request"]);
    wait("the next one has cancelled it", 90, || {
        place.asked(&["runs", "list"]).stdout.matches("cancelled").count().eq(&2).then_some(())
    });
    place.asked(&["runs", "logs", &number]).stdout("cleaned up");
    place.wait_gone();
}

#[test]
fn clients_at_once_each_get_their_run() {
    let place = Detached::new("clients", "  a: { steps: [{ run: 'echo mine; sleep 5' }] }\n");
    let others = [
        place.beside("  a: { steps: [{ run: 'sleep 5; echo other' }] }\n"),
        place.beside("  a: { steps: [{ run: 'sleep 5; echo third' }] }\n"),
    ];
    let config = kubeconfig();
    let args = ["run", "--on", "kubernetes", "--detach", "--format", "json"];
    let mut children =
        vec![(&place.place.project, place.spawn(&args)), (&place.place.project, place.spawn(&args))];
    children.extend(others.iter().map(|other| (other, other.spawn_with(args, &[("KUBECONFIG", &config)]))));
    let mut numbers: Vec<u64> = children
        .into_iter()
        .map(|(project, child)| place.number(&project.done(child).code(0).stdout))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for number in numbers {
        place.watch(&number.to_string()).code(0);
    }
    assert_eq!(place.pods_made(), [1; 4]);
    place.wait_gone();
}

#[test]
fn a_laptop_that_dies_on_the_way_leaves_a_whole_run_or_none() {
    let place = Detached::new("dies", "  a: { steps: [{ run: 'test $(ls many | wc -l) = 300' }] }\n");
    for file in 0..300 {
        place.write(&format!("many/{file}"), &format!("{file}\n").repeat(1000));
    }
    for millis in [100, 250, 400, 600, 900] {
        let mut child = place.spawn(&["run", "--on", "kubernetes", "--detach"]);
        // Whenever it is: every moment has to do.
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        // Each file is another one the next time: all of it has to travel.
        place.sh(&format!("for f in many/*; do echo {millis} >> $f; done"));
    }
    place.wait_gone();
    // Until the first request comes, the engine's store has no run.
    let listed = place.asked(&["runs", "list", "--format", "json"]).stdout;
    assert_eq!(place.pods_made().len(), listed.matches("\"conclusion\":\"success\"").count(), "{listed}");
    let number = place.submit(&[]);
    place.watch(&number).code(0);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_secret_of_a_run_is_in_its_secrets_alone() {
    let jobs = "  a:
    env: { WORD: '${{ secrets.WORD }}' }
    steps: [{ run: 'echo started $WORD; while ! test -e /tmp/go; do sleep 0.2; done; test $WORD = hush-hush-7' }]
";
    let place = Detached::new("secrets", jobs);
    let number = place.submit(&["--secret", "WORD=hush-hush-7", "--secret", "OTHER=never-read-8"]);
    place.wait_log(&number, "started");
    let ready = ["wait", "--for=condition=Ready", "pod", "-l", "tidegate.dev/store", "--timeout=60s"];
    place.kubectl(&ready);
    let all =
        "pods,jobs,deployments,replicasets,services,configmaps,events,leases.coordination.k8s.io,endpoints";
    let seen = place.kubectl(&["get", all, "-o", "yaml"])
        + &place.kubectl(&["logs", "deploy/tidegate-engine"])
        + &place.kubectl(&["logs", "-l", "tidegate.dev/store", "--all-containers", "--tail=-1"])
        + &place.asked(&["runs", "show", &number, "--format", "json"]).stdout
        + &place.asked(&["runs", "logs", &number]).stdout;
    assert!(seen.contains("started ***"), "the log is among it");
    for value in ["hush-hush-7", "aHVzaC1odXNoLTc", "never-read-8", "bmV2ZXItcmVhZC04"] {
        assert!(!seen.contains(value), "{value}");
    }
    let pod = place.kubectl(&["get", "pods", "-l", "tidegate.dev/store", "-o", "name"]);
    place.kubectl(&["exec", pod.trim(), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    place.watch(&number).code(0).nowhere("hush-hush-7");
    place.wait_gone();
    let left = place.kubectl(&["get", "secrets", "-o", "yaml"]);
    // {"WORD":"hush-hush-7" … in base64.
    assert!(!left.contains("aHVzaC1odXNoLTc") && !left.contains("V09SRCI6Imh1c2g"), "{left}");
    wait("no process of a run is left", 60, || (place.processes() == 1).then_some(()));
}
