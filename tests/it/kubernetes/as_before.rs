//! What a run was started with is in its log: whoever goes on with it or runs it again need not say it once more.

use super::*;
use crate::images::PYTHON;

/// Jobs that name no image, in a namespace that no configuration names.
fn started_with(name: &str, jobs: &str) -> (Place, Namespace) {
    let text = format!("on: workflow_dispatch\ndefaults: {{ run: {{ shell: sh }} }}\njobs:\n{jobs}");
    (Place { _guard: beside(), project: Project::workflow(&text).git() }, Namespace::new(name, ""))
}

#[test]
fn an_image_and_a_namespace_are_those_of_the_run() {
    let jobs = "  a:
    steps: [{ run: 'echo in $RUNNER_TOOL_CACHE; test -d $RUNNER_TOOL_CACHE; touch $RUNNER_TOOL_CACHE/x; echo kept > f' }]
    produces: { f: f }
";
    let (project, space) = started_with("as-before", jobs);
    let with = ["--namespace", &space.0, "--image", PYTHON];
    run(&project, &with).code(0);
    let config = kubeconfig();
    let again = |more: &[&str]| {
        project.tidegate_with([&["runs", "rerun", "1"], more].concat(), &[("KUBECONFIG", &config)])
    };
    again(&[]).code(0);
    let download = ["runs", "download", "1", "--name", "f", "--dir", "out"];
    project.tidegate_with(download, &[("KUBECONFIG", &config)]).code(0);
    assert_eq!(std::fs::read_to_string(project.path().join("out/f")).unwrap(), "kept\n");
    let pods = kubectl(&[
        "get",
        "events",
        "-n",
        &space.0,
        "--field-selector",
        "reason=SuccessfulCreate",
        "-o",
        "name",
    ]);
    assert!(pods.lines().count() >= 2, "{pods}");
    // What is said now goes before it.
    again(&["--image", "docker.io/test/nowhere:1", "--namespace", "nowhere-at-all"])
        .code(4)
        .stderr("nowhere-at-all");
}

#[test]
fn a_resume_finds_its_jobs_where_they_are() {
    let jobs =
        "  a: { steps: [{ run: 'echo started; while ! test -e /tmp/go; do sleep 0.1; done; echo done' }] }
  b: { needs: a, steps: [{ run: 'echo b' }] }\n";
    let (project, space) = started_with("resumed", jobs);
    let mut child = spawn(&project, &["--namespace", &space.0, "--image", PYTHON]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    // In another namespace it would find nothing, and do all again.
    let elsewhere = run(&project, &["--resume", "1", "--namespace", "default"]).code(2);
    elsewhere.stderr("in the namespace").stderr(&format!("--namespace {}", space.0));
    let child = spawn(&project, &["--resume", "1"]);
    let pod = kubectl(&["get", "pods", "-n", &space.0, "-l", &selector(&project), "-o", "name"]);
    kubectl(&["exec", "-n", &space.0, pod.trim(), "-c", "steps", "--", "/bin/sh", "-c", "touch /tmp/go"]);
    project.done(child).code(0).nowhere("attempt 2");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("started").stdout("done").stdout("b");
    wait_gone(&project);
}
