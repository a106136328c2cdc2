//! `tidegate runs …` and `why` over runs that really ran.

use crate::harness::Project;

const WORKFLOW: &str = r#"
name: test
on: workflow_dispatch
jobs:
  fit:
    strategy: { matrix: { c: [1, 2] } }
    steps:
      - name: train
        run: |
          echo training ${{ matrix.c }}
          echo '{"acc": 0.${{ matrix.c }}}' > m.json
    metrics: { files: m.json, goals: { acc: max } }
    cache: true
  judge:
    needs: fit
    steps:
      - name: look
        run: test "$(cat wanted)" = yes
  after:
    needs: judge
    steps:
      - run: echo done
"#;

#[test]
fn a_failed_run_is_shown_explained_and_run_again() {
    let project = Project::workflow(WORKFLOW).file("wanted", "no").git();
    project.tidegate(["run"]).code(1);
    project.tidegate(["runs", "list"]).code(0).stdout("failed");
    project.tidegate(["runs", "list", "--format", "json"]).code(0).stdout("\"number\":1");
    project.tidegate(["runs", "show", "1"]).code(0).stdout("2 of 2").stdout("skipped: judge failed");
    project.tidegate(["runs", "show", "1", "--format", "json"]).code(0).stdout("\"acc\":0.2");
    project
        .tidegate(["runs", "logs", "1", "fit", "--matrix", "c=2"])
        .code(0)
        .stdout("training 2")
        .nowhere("training 1");
    project.tidegate(["runs", "logs", "1", "fit", "--step", "train"]).code(0).stdout("training 1");
    project.tidegate(["runs", "watch", "1"]).code(1).stdout("failed in");
    project.tidegate(["why", "judge", "1"]).code(0).stdout("failed, failure in step `look`");
    project.tidegate(["why", "after"]).code(0).stdout("was skipped in run 1: judge failed");
    project.tidegate(["runs", "cancel", "1"]).code(2).stderr("run 1 has ended");

    project.write("wanted", "yes");
    project.tidegate(["runs", "rerun", "1", "--failed"]).code(0);
    project.tidegate(["why", "fit"]).code(0).stdout("was taken over from run 1");
    project.tidegate(["runs", "diff", "1", "2"]).code(0).stdout("judge   failure → success");
    project.tidegate(["runs", "rerun", "2", "--from", "judge"]).code(0);
    project.tidegate(["why", "fit", "3"]).code(0).stdout("was taken over from run 2");
}

#[test]
fn why_names_the_part_of_the_key_that_differs() {
    let project = Project::workflow(WORKFLOW).file("wanted", "yes").git();
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0);
    project.tidegate(["why", "fit"]).code(0).stdout("done in run 1 with the same key");
    project.write(".ml/workflows/test.yml", &WORKFLOW.replace("training", "learning"));
    project.tidegate(["run"]).code(0);
    project.tidegate(["why", "fit"]).code(0).stdout("differs from run 2").stdout("commands");
    project.tidegate(["runs", "diff", "2", "3"]).code(0).stdout("+          echo learning");
}

#[test]
fn what_is_not_there_is_said() {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["runs", "list"]).code(2).stderr("nothing ran here yet");
    project.write("wanted", "yes");
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "show", "9"]).code(2).stderr("there is no run 9");
    project.tidegate(["why", "nothing"]).code(2).stderr("its jobs: fit, judge, after");
    project.tidegate(["runs", "logs", "1", "nothing"]).code(2).stderr("no job `nothing`");
    project.tidegate(["runs", "logs", "1", "fit", "--matrix", "c=7"]).code(2).stderr("there are: c=1");
    project.tidegate(["runs", "rerun", "1", "--from", "nothing"]).code(2).stderr("no job `nothing`");
}

/// A workflow that is called twice has two jobs of one id.
#[test]
fn jobs_of_two_calls_have_names_and_logs_of_their_own() {
    let caller = "on: workflow_dispatch
jobs:
  one: { uses: ./.ml/workflows/called.yml, with: { word: first } }
  two: { uses: ./.ml/workflows/called.yml, with: { word: second } }
";
    let called = "on: { workflow_call: { inputs: { word: { type: string } } } }
jobs:
  b: { strategy: { matrix: { n: [7, 8] } }, steps: [{ run: 'echo ${{ inputs.word }} ${{ matrix.n }}' }] }
";
    let project = Project::workflow(caller).file(".ml/workflows/called.yml", called);
    let done = project.tidegate(["run", ".ml/workflows/test.yml"]).code(0);
    for (call, word) in [("one", "first"), ("two", "second")] {
        for n in ["7", "8"] {
            let name = format!("{call} / b ({n})");
            assert!(done.stdout.contains(&format!("✓ {name}")), "{name} is not in {}", done.stdout);
            let (job, matrix) = (format!("{call} / b"), format!("n={n}"));
            let logs = project.tidegate(["runs", "logs", "1", &job, "--matrix", &matrix]).code(0).stdout;
            assert_eq!(logs.trim(), format!("{word} {n}"), "the log of {name}");
        }
    }
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert!(
        logs.contains("── one / b (n=7)\nfirst 7") && logs.contains("── two / b (n=8)\nsecond 8"),
        "{logs}"
    );
}
