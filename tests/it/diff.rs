//! `tidegate runs diff`: what differs between two runs, folded and readable.

use crate::harness::Project;
use serde_json::Value as Json;

const WORKFLOW: &str = "\
on: { workflow_dispatch: { inputs: { seed: { type: number, default: 7 } } } }
jobs:
  train:
    strategy: { matrix: { c: [1, 2, 3, 4, 5, 6] } }
    steps:
      - run: |
          echo \"{\\\"accuracy\\\": 0.$(cat digits)${{ matrix.c }}}\" > m.json
          echo model $(cat digits) > model.txt
    metrics: { files: m.json, goals: { accuracy: max } }
    produces: { model: model.txt }
";

fn project() -> Project {
    Project::workflow(WORKFLOW).file("digits", "8").file("other.txt", "x").git()
}

#[test]
fn the_same_run_twice_has_nothing_to_tell() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "diff", "1", "2"]).code(0).stdout(
        "run 1 → run 2\n\n  the same: metrics, results, parameters, artifacts, started with, files, commands\n",
    );
}

#[test]
fn metrics_files_inputs_and_commands_are_named_and_the_matrix_is_folded() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.write("digits", "9");
    project.sh("rm other.txt");
    let text = WORKFLOW.replace("model $(cat", "the model $(cat");
    project.write(".ml/workflows/test.yml", &text);
    project.tidegate(["run", "--input", "seed=8"]).code(0);
    let done = project.tidegate(["runs", "diff", "1", "2"]).code(0);
    let done = done.stdout("train (c=1)  accuracy   0.81 → 0.91   +0.1 better\n");
    let done = done.stdout("train  accuracy         and 2 more instances\n");
    let done = done.stdout("  files\n    digits      ").stdout("    other.txt   gone\n");
    let done = done.stdout("inputs.seed   7 → 8\n").stdout("and uncommitted changes");
    let done = done.stdout(
        "-          echo model $(cat digits) > model.txt\n    +          echo the model $(cat digits)",
    );
    let _ = done.stdout("  the same: results, parameters\n");

    let json = project.tidegate(["runs", "diff", "1", "2", "--format", "json"]).code(0).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metrics"].as_array().unwrap().len(), 6);
    assert_eq!(json["files"][0]["path"], "digits");
    assert_eq!(json["commands"][0]["hunks"][0]["lines"][0], 6);
}

#[test]
fn jobs_that_only_one_run_has_are_told_once() {
    let project = project();
    project.write(
        ".ml/workflows/other.yml",
        "on: workflow_dispatch\njobs: { a: { steps: [{ run: 'true' }] } }\n",
    );
    project.tidegate(["run", ".ml/workflows/test.yml"]).code(0);
    project.tidegate(["run", ".ml/workflows/other.yml"]).code(0);
    project
        .tidegate(["runs", "diff", "1", "2"])
        .code(0)
        .stdout("    only in run 1: train × 6\n    only in run 2: a\n")
        .stdout(".ml/workflows/test.yml → .ml/workflows/other.yml")
        .nowhere("accuracy   ");
    project.tidegate(["runs", "diff", "1", "9"]).code(2).stderr("there is no run 9");
}
