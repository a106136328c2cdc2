//! The way of a run: handed over, watched from outside, ended.

use super::*;

pub(super) const CHAIN: &str = "  a:
    outputs: { x: '${{ steps.s.outputs.x }}' }
    steps: [{ id: s, run: 'cat data.txt; echo x=41 >> $GITHUB_OUTPUT; echo kept > out' }]
    produces: { out: out }
  b:
    needs: a
    consumes: { in: '${{ needs.a.artifacts.out }}' }
    steps: [{ run: 'echo b $(cat in) ${{ needs.a.outputs.x }}; sleep 3' }]
";

#[test]
fn a_run_goes_on_without_the_laptop_and_is_watched_from_outside() {
    let place = Detached::new("thin", CHAIN);
    place.write("data.txt", "from the dirty tree\n");
    let done = place.tidegate(&["run", "--on", "kubernetes", "--detach"]).code(0);
    // An engine that has much to do answers later; then the run has no number yet.
    if !done.stdout.contains("waits for the engine in") {
        done.stdout("run 1 (")
            .stdout("is with the engine in")
            .stdout("tidegate runs watch 1 --on kubernetes");
    }
    wait("the engine has taken it in", || {
        place.asked(&["runs", "list"]).stdout.contains("test").then_some(())
    });
    // Nothing of the laptop is needed any more.
    std::fs::remove_dir_all(place.path().join(".tidegate")).unwrap();
    std::fs::remove_file(place.path().join("data.txt")).unwrap();
    let done = place.watch("1").code(0);
    done.stdout("passed").stdout("tidegate runs show 1 --on kubernetes").nowhere("attempt 2");
    let logs = place.asked(&["runs", "logs", "1"]).code(0);
    logs.stdout("from the dirty tree").stdout("b kept 41");
    place.asked(&["runs", "list"]).code(0).stdout("passed");
    place.asked(&["runs", "show", "1", "--format", "json"]).code(0).stdout("\"number\":1");
    place.asked(&["why", "b"]).code(0).stdout("b ran in run 1");
    assert_eq!(place.pods_made(2), [1, 1]);
    place.wait_gone();
}

#[test]
fn data_travels_and_a_terminal_is_a_terminal_there_too() {
    let place = Detached::new("data", CHAIN);
    place.write("raw/a.csv", "kept row\n");
    place.write(
        ".ml/workflows/test.yml",
        "on: workflow_dispatch
data: { raw: { uri: raw } }
defaults: { container: 'docker.io/test/busybox:1', run: { shell: sh } }
jobs:
  a:
    consumes: { in/: '${{ data.raw }}' }
    steps: [{ run: 'cat in/a.csv; echo version ${{ data.raw.version }}; sleep 4' }]
",
    );
    // Ignored by git: it is in no tree.
    place.write(".gitignore", "raw/\n");
    let number = place.submit(&[]);
    std::fs::remove_dir_all(place.path().join("raw")).unwrap();
    let program = env!("CARGO_BIN_EXE_tidegate");
    let line = format!(
        "KUBECONFIG={} TERM=xterm script -qec 'stty cols 91; {program} runs watch {number} --on kubernetes' /dev/null",
        kubeconfig()
    );
    let done = place.place.project.shell(&line).code(0);
    done.stdout("\u{1b}[").stdout("passed");
    place.asked(&["runs", "logs", &number]).code(0).stdout("kept row").stdout("version ");
    place.wait_gone();
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn the_watcher_ends_as_the_run_does_and_ctrl_c_only_ends_the_watcher() {
    let jobs =
        "  a: { steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n";
    let place = Detached::new("cancel", jobs);
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    let args = ["runs", "watch", &number, "--on", "kubernetes"];
    // The engine, and the run's own process; what read the log there is gone.
    wait("nobody else is in the pod", || (place.processes() == 2).then_some(()));
    let (first, second) = (place.spawn(&args), place.spawn(&args));
    wait("both watch in the pod", || (place.processes() == 4).then_some(()));
    interrupt(&first);
    assert_eq!(place.place.project.done(first).code, None, "killed by the signal");
    // What it ran beside the engine is gone, too.
    wait("one of them is left in the pod", || (place.processes() == 3).then_some(()));
    place.asked(&["runs", "list"]).code(0).stdout("running");
    place.asked(&["runs", "cancel", &number]).code(0).stdout("--on kubernetes");
    place.place.project.done(second).code(5).stdout("cancelled");
    place.asked(&["runs", "logs", &number]).stdout("cleaned up");
    place.wait_gone();
}

#[test]
fn an_engine_that_is_not_there_is_said_with_what_to_do() {
    let place = Detached::bare("none", CHAIN);
    let done = place.tidegate(&["run", "--on", "kubernetes", "--detach"]).code(4);
    done.stderr("there is no engine in namespace").stderr("tidegate install --namespace test-none");
    place.asked(&["runs", "list"]).code(4).stderr("tidegate install --namespace test-none");
    place.tidegate(&["run", "--detach"]).code(2).stderr("add `--on kubernetes`");
    place.tidegate(&["run", "--on", "kubernetes", "--detach", "--in-place"]).code(2);
}
