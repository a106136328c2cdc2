//! `tidegate why`: what ran, was skipped, cached, taken over or failed, and what in the key differs.

use crate::harness::Project;
use serde_json::Value as Json;

const WORKFLOW: &str = "\
on: { workflow_dispatch: { inputs: { seed: { type: number, default: 7 } } } }
jobs:
  prepare:
    steps: [{ run: cat data/raw > clean }]
    produces: { clean: clean }
    cache: { inputs: [data/**] }
  train:
    needs: prepare
    strategy: { matrix: { c: [1, 2] } }
    consumes: { clean: \"${{ needs.prepare.artifacts.clean }}\" }
    steps: [{ run: 'echo fit ${{ matrix.c }} ${{ inputs.seed }}' }]
    cache: { inputs: [train/**] }
  release:
    needs: train
    if: github.ref == 'refs/heads/release'
    steps: [{ run: echo released }]
";

fn project() -> Project {
    let project = Project::workflow(WORKFLOW).file("data/raw", "1").file("train/fit.py", "fit").git();
    project.tidegate(["run"]).code(0);
    project
}

#[test]
fn the_file_that_changed_is_named() {
    let project = project();
    project.write("train/fit.py", "fit better");
    project.write("README.md", "not part of any key");
    project.tidegate(["run"]).code(0);
    project
        .tidegate(["why", "train"])
        .code(0)
        .stdout("train × 2 ran in run 2: its key differs from run 1 in one part\n  source   train/fit.py   ")
        .stdout("  the same: commands, consumes, environment, image, params\n")
        .nowhere("README.md");
    project.tidegate(["why", "prepare"]).code(0).stdout("came from the cache in run 2: done in run 1");
    project.tidegate(["why", "prepare", "1"]).code(0).stdout("no earlier run of this workflow had a key");
    let json = project.tidegate(["why", "train", "--format", "json"]).code(0).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let part = &json["instances"][0]["origin"]["changed"]["parts"][0];
    assert!(part["details"][0].as_str().unwrap().starts_with("train/fit.py"), "{json}");
}

#[test]
fn consumed_content_inputs_and_commands_are_named() {
    let project = project();
    project.write("data/raw", "2");
    project.tidegate(["run"]).code(0);
    project.tidegate(["why", "train"]).code(0).stdout("  consumes   clean   ");
    project.tidegate(["run", "--input", "seed=8"]).code(0);
    project.tidegate(["why", "train"]).code(0).stdout("  params   inputs.seed   7 → 8\n");
    project.write(".ml/workflows/test.yml", &WORKFLOW.replace("echo fit", "echo fitting"));
    project.tidegate(["run", "--input", "seed=8"]).code(0);
    project
        .tidegate(["why", "train", "4"])
        .code(0)
        .stdout("  commands   .ml/workflows/test.yml\n")
        .stdout("+    steps: [{ run: 'echo fitting ${{ matrix.c }}");
}

#[test]
fn what_was_skipped_or_never_cached_says_so() {
    let project = project();
    project
        .tidegate(["why", "release"])
        .code(0)
        .stdout("release was skipped in run 1: github.ref is refs/heads/main, not refs/heads/release");
    project.write(".ml/workflows/test.yml", "on: push\njobs: { a: { steps: [{ run: exit 4 }] } }\n");
    project.tidegate(["run"]).code(1);
    project.tidegate(["why", "a"]).code(0).stdout(
        "a ran in run 2: it has no `cache`, so it always runs\n  ✗ failed, failure in step `Run exit 4`",
    );
    // The newest run has no such job: an older one answers.
    project.tidegate(["why", "prepare"]).code(0).stdout("in run 1");
}
