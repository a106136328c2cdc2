//! What is left: of an engine that does not come back, of another store, of runs that are over.

use super::*;

#[test]
fn a_pod_whose_engine_does_not_come_back_ends() {
    let project = project_with(
        "  a: { steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n",
        "  orphan-after: 15s\n",
    );
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    wait("its pod has ended", || {
        let phase =
            kubectl(&["get", "pods", "-l", &selector(&project), "-o", "jsonpath={.items[*].status.phase}"]);
        (phase.trim() == "Failed").then_some(())
    });
    let ttl = kubectl(&[
        "get",
        "jobs",
        "-l",
        &selector(&project),
        "-o",
        "jsonpath={.items[*].spec.ttlSecondsAfterFinished}",
    ]);
    assert_eq!(ttl.trim(), "604800", "its Job goes 7 days later");
    let job = kubectl(&["get", "jobs", "-l", &selector(&project), "-o", "name"]);
    kubectl(&["patch", job.trim(), "--type=merge", "-p", r#"{"spec":{"ttlSecondsAfterFinished":1}}"#]);
    wait_gone(&project);
    // Who takes the run up again hears why, and the log is there.
    let child = spawn(&project, &["--resume", "1"]);
    wait("the next attempt runs", || {
        project.tidegate(["runs", "show", "1"]).stdout.contains("attempt 2").then_some(())
    });
    interrupt(&child);
    project.done(child).code(5).stdout("no engine looked after it");
    project.tidegate(["runs", "logs", "1", "--attempt", "1"]).stdout("cleaned up");
    wait_gone(&project);
}

#[test]
fn stores_of_one_namespace_leave_each_other_alone() {
    let jobs =
        "  a: { steps: [{ run: 'echo started; while ! test -e /tmp/go; do sleep 0.2; done; echo done' }] }\n";
    let (one, other) = (project(jobs), made(jobs, ""));
    let (first, mut second) = (spawn(&one, &[]), spawn(&other, &[]));
    wait_log(&one, "started");
    wait_log(&other, "started");
    second.kill().unwrap();
    second.wait().unwrap();
    let env = [("KUBECONFIG", kubeconfig())];
    let env = [(env[0].0, env[0].1.as_str())];
    one.tidegate_with(["runs", "gc", "--on", "kubernetes"], &env)
        .code(0)
        .stdout("nothing of this store is left");
    let_go(&one, "a");
    let_go(&other, "a");
    run(&other, &["--resume", "1"]).code(0).nowhere("attempt 2");
    one.done(first).code(0).nowhere("attempt 2");
    wait_gone(&one);
    wait_gone(&other);
}

#[test]
fn what_belongs_to_no_run_that_goes_on_is_listed_and_removed() {
    let project = project("  a: { steps: [{ run: 'echo started; sleep 600' }] }\n");
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    let kubeconfig = kubeconfig();
    let gc = |more: &[&str]| {
        let args = [&["runs", "gc", "--on", "kubernetes"], more].concat();
        project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig)]).code(0)
    };
    // It can still be taken up.
    gc(&[]).stdout("nothing of this store is left");
    // As if the store had been put back from before the run.
    let id = std::fs::read(project.path().join(".tidegate/id")).unwrap();
    std::fs::remove_dir_all(project.path().join(".tidegate")).unwrap();
    project.write(
        ".ml/workflows/test.yml",
        "on: workflow_dispatch\njobs: { b: { steps: [{ run: 'true' }] } }\n",
    );
    project.tidegate(["run", "--on", "local"]).code(0);
    std::fs::write(project.path().join(".tidegate/id"), id).unwrap();
    gc(&["--dry-run"]).stdout("job/tg-").stdout("secret/tg-").stdout("2 Jobs and Secrets would be removed");
    assert!(left(&project).contains("job"), "nothing is removed yet");
    gc(&["--format", "json"]).stdout("\"removed\":[\"job/tg-");
    wait_gone(&project);
}

#[test]
fn a_rerun_runs_where_the_run_did() {
    let project = project(
        "  a: { steps: [{ run: 'echo a; echo x > x' }], produces: { x: x } }
  b:
    needs: a
    consumes: { x: '${{ needs.a.artifacts.x }}' }
    steps: [{ run: 'cat x; echo in $HOSTNAME; test -e /fail || exit ${{ github.run_number == 1 && 1 || 0 }}' }]
",
    );
    run(&project, &[]).code(1);
    let kubeconfig = kubeconfig();
    let again = project.tidegate_with(["runs", "rerun", "1", "--failed"], &[("KUBECONFIG", &kubeconfig)]);
    again.code(0);
    // The pod's name is the Job's.
    project.tidegate(["runs", "logs", "2"]).code(0).stdout("in tg-");
    wait_gone(&project);
}
