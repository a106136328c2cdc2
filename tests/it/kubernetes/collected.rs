//! What goes of a hub's objects: what no kept run needs, of this store, and nothing that another one relies on.

use super::objects::{Volume, replace_hub};
use super::*;
use serde_json::Value as Json;
use std::time::{SystemTime, UNIX_EPOCH};

const JOBS: &str = "  a:
    cache: { inputs: [seed.txt] }
    steps: [{ run: 'sed s/^/made-/ seed.txt > x' }]
    produces: { x: x }
  b:
    needs: a
    consumes: { x: '${{ needs.a.artifacts.x }}' }
    steps: [{ run: 'cat x' }]
";

#[test]
fn what_no_kept_run_needs_goes_and_what_another_store_has_stays() {
    let _guard = beside();
    let namespace = Namespace::new("collected", "");
    let volume = Volume::new(&namespace);
    let (space, class) = (&namespace.0, &volume.name);
    let settings = format!("  namespace: {space}\n  hub: {{ volume: 1Gi, storage-class: {class} }}\n");
    let (one, other) = (made(JOBS, &settings), made(JOBS, &settings));
    for (project, seed) in [(&one, "one\n"), (&one, "two\n"), (&other, "other\n")] {
        project.write("seed.txt", seed);
        run(project, &[]).code(0).nowhere("from cache");
    }
    let kubeconfig = kubeconfig();
    let gc = |project: &Project, more: &[&str]| -> Json {
        let args = [&["runs", "gc", "--on", "kubernetes", "--format", "json"], more].concat();
        let done = project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig)]).code(0);
        serde_json::from_str::<Json>(&done.stdout).unwrap()["hub"].clone()
    };
    let young = gc(&one, &["--keep", "0s"]);
    assert_eq!(young["removed"]["count"], 0, "all is young: {young}");
    assert!(young["kept"]["count"].as_u64() > Some(10), "{young}");
    // Two hours later: of each of three runs, a tree and an artifact were relied on, by two stores.
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 2 * 60 * 60;
    let lines = 2 * 3 + 2;
    volume.on_the_node(
        &namespace,
        "age",
        &format!(
            "until test $(cat /volume/claims/* | wc -l) -ge {lines}; do sleep 1; done; \
             find /volume/objects -type f -exec touch -d @{then} {{}} + ; sed -i 's/ [0-9]*$/ {then}/' /volume/claims/*"
        ),
    );
    replace_hub(space);
    let database = rusqlite::Connection::open(one.path().join(".tidegate/runs.db")).unwrap();
    database.execute("UPDATE runs SET created = created - 40 * 86400000 WHERE number = 1", []).unwrap();
    let counted = gc(&one, &["--dry-run"]);
    // The run's file and artifact with their lists; what attempts were told to do, of all runs.
    assert_eq!(counted["removed"]["count"], 4 + 6, "{counted}");
    assert_eq!(gc(&one, &[]), counted, "it does what it said");
    assert_eq!(gc(&one, &[])["removed"]["count"], 0);
    // A collection here leaves alone what pods made.
    one.tidegate(["runs", "gc"]).code(0);
    for (project, log, text) in [(&one, "3", "made-two"), (&other, "2", "made-other")] {
        run(project, &[]).code(0).stdout("1 from cache");
        project.tidegate(["runs", "logs", log, "b"]).code(0).stdout(text);
    }
    // What went is made again.
    one.write("seed.txt", "one\n");
    run(&one, &[]).code(0).nowhere("from cache");
    one.tidegate(["runs", "logs", "4", "b"]).code(0).stdout("made-one");
    wait_gone(&one);
    wait_gone(&other);
    volume.on_the_node(&namespace, "clean", "rm -rf /volume/*");
}
