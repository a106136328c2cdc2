//! Runs through the binary: what passes, what fails, and how each ends.

use crate::harness::Project;

#[test]
fn a_good_run_ends_with_0() {
    let text = "on: push\njobs:\n  a:\n    outputs: { x: \"${{ steps.s.outputs.x }}\" }\n    steps:\n      - id: s\n        run: echo x=5 >> $GITHUB_OUTPUT\n  b:\n    needs: a\n    strategy: { matrix: { m: [1, 2] } }\n    steps:\n      - run: test ${{ needs.a.outputs.x }} = 5\n";
    let project = Project::workflow(text);
    project.tidegate(["run"]).code(0).stdout("✓ a").stdout("2 of 2").stdout("passed in");
}

#[test]
fn a_failure_ends_with_1_and_shows_its_last_lines() {
    let project = Project::workflow(
        "on: push\njobs:\n  a:\n    steps:\n      - run: echo the last words; exit 3\n  b:\n    needs: a\n    steps:\n      - run: 'true'\n",
    );
    project
        .tidegate(["run"])
        .code(1)
        .stdout("exit 3")
        .stdout("│ the last words")
        .stdout("skipped")
        .stdout("tidegate runs logs 1 a");
}

#[test]
fn a_gate_ends_with_3() {
    let project = Project::workflow(
        "on: push\njobs:\n  a:\n    steps:\n      - run: echo '{\"accuracy\":0.5}' > m.json\n      - gate: { metrics: { accuracy: { min: 0.9 } } }\n    metrics: { files: m.json, goals: { accuracy: max } }\n",
    );
    project.tidegate(["run"]).code(3).stdout("stopped by a gate").stdout("0.5 < 0.9");
}

#[test]
fn a_wrong_file_runs_nothing() {
    let project =
        Project::workflow("on: push\njobs:\n  a:\n    needs: nobody\n    steps:\n      - run: echo x\n");
    project.tidegate(["run"]).code(2).stderr("nobody").stderr("nothing was run");
    Project::new().tidegate(["run"]).code(2).stderr("tidegate init");
}

#[test]
fn several_files_are_listed() {
    let text = "on: push\njobs: { a: { steps: [{ run: 'true' }] } }\n";
    let project = Project::new().file(".ml/workflows/a.yml", text).file(".ml/workflows/b.yml", text);
    project.tidegate(["run"]).code(2).stderr("tidegate run .ml/workflows/b.yml");
}

#[test]
fn a_secret_is_nowhere() {
    let project = Project::workflow(
        "on: push\njobs:\n  a:\n    steps:\n      - run: printenv KEY; exit 1\n        env: { KEY: \"${{ secrets.KEY }}\" }\n",
    );
    project.tidegate(["run", "--secret", "KEY=hunter2-long"]).code(1).nowhere("hunter2-long").stdout("***");
    project.sh("! grep -r hunter2-long .tidegate");
}

#[test]
fn a_list_of_artifacts_gives_a_subfolder_for_each_and_files_keep_their_names() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  train:
    strategy: { matrix: { m: [a, b] } }
    steps: [{ run: 'echo ${{ matrix.m }} > model.txt; mkdir plots; echo ${{ matrix.m }} > plots/p' }]
    produces: { model: model.txt, plots: plots }
  pick:
    needs: train
    consumes:
      models: '${{ needs.train.instances[*].artifacts.model }}'
      plots: '${{ needs.train.instances[*].artifacts.plots }}'
    steps: [{ run: 'cat models/0/model.txt models/1/model.txt plots/0/p plots/1/p | xargs' }]
",
    )
    .git();
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "logs", "1", "pick"]).code(0).stdout("a b a b");
}

/// The next try falls due while the engine turns from deciding to waiting, sooner or later.
#[test]
fn a_retry_that_falls_due_at_once_is_not_slept_over() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  a:
    retry: { attempts: 60, backoff: { initial: 1ms, factor: 1 } }
    steps: [{ run: exit 1 }]
",
    );
    project.tidegate(["run"]).code(1);
    project.tidegate(["runs", "show", "1", "--format", "json"]).stdout("\"attempt\":60");
}
