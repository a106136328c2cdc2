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
    let notes = wait("both are refused", || {
        let notes = place.notes();
        (notes.matches("tidegate.dev/refused").count() == 2).then_some(notes)
    });
    assert!(notes.contains("the run cannot be read"), "{notes}");
    // The request that was right goes a moment after its run's end.
    wait("what they held is thrown away", || {
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
    wait("the next one has cancelled it", || {
        place.asked(&["runs", "list"]).stdout.matches("cancelled").count().eq(&2).then_some(())
    });
    place.asked(&["runs", "logs", &number]).stdout("cleaned up");
    place.wait_gone();
}

/// A job in a group, with a cache and a baseline: whose these are, its log and its end say.
fn shares(who: &str, loss: f64) -> String {
    format!(
        "  a:
    concurrency: deploy
    metrics: {{ files: m.json, goals: {{ loss: min }} }}
    steps:
      - {{ uses: actions/cache@v4, with: {{ path: kept, key: 'k-${{{{ github.run_number }}}}', restore-keys: k- }} }}
      - {{ run: 'sleep 5; echo {who} had $(cat kept/who); mkdir -p kept; echo {who} > kept/who' }}
      - {{ run: 'echo \"{{\\\"loss\\\": {loss}}}\" > m.json' }}
      - {{ gate: {{ metrics: {{ loss: {{ max: 9, max-worse: 1% }} }}, baseline: 'branch:main' }} }}
"
    )
}

/// Projects of one engine are apart: each has its groups, caches and baselines.
#[test]
fn clients_at_once_each_get_their_run() {
    let place = Detached::new("clients", &shares("mine", 0.5));
    let others = [place.beside(&shares("other", 4.0)), place.beside(&shares("third", 5.0))];
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
    // In one group for all, a newcomer would have taken the place of the one that waits.
    let logs = numbers.iter().map(|number| {
        place.watch(&number.to_string()).code(0);
        place.asked(&["runs", "logs", &number.to_string()]).code(0).stdout
    });
    let logs: String = logs.collect();
    for (said, times) in [("mine had\n", 1), ("mine had mine\n", 1), ("other had\n", 1), ("third had\n", 1)] {
        assert_eq!(logs.matches(said).count(), times, "{said}: {logs}");
    }
    // One that comes last, when the others have left a cache and a baseline that it would fail.
    let last = place.beside(&shares("last", 8.0));
    let outside = [("KUBECONFIG", &*config)];
    let number = place.number(&last.tidegate_with(args, &outside).code(0).stdout).to_string();
    place.watch(&number).code(0);
    place.asked(&["runs", "logs", &number]).code(0).stdout("last had\n");
    assert_eq!(place.pods_made(5), [1; 5]);
    place.wait_gone();
    // Nor does it run again what is another one's.
    last.tidegate_with(["runs", "rerun", "1", "--on", "kubernetes"], &outside);
    // A busy engine says so after the one who asks has gone.
    let notes = wait("it is refused", || {
        let notes = place.notes();
        notes.contains("tidegate.dev/refused").then_some(notes)
    });
    assert!(notes.contains("run 1, which it runs again, is one of store:"), "{notes}");
    assert!(notes.contains("name a run of this project"), "{notes}");
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
    let whole = listed.matches("\"conclusion\":\"success\"").count();
    assert_eq!(place.pods_made(whole).len(), whole, "{listed}");
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
    let ready = ["wait", "--for=condition=Ready", "pod", "-l", "tidegate.dev/store", "--timeout=240s"];
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
    wait("no process of a run is left", || (place.processes() == 1).then_some(()));
}
