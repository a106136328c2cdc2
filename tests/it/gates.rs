//! Gates through the binary: baselines, verdicts in the log, and gates judged again on cached metrics.

use crate::harness::Project;

/// A job that is cached by what lies in `train/`, with a gate.
fn cached(gate: &str) -> Project {
    Project::workflow(&format!(
        "on: workflow_dispatch\njobs:\n  a:\n    cache: {{ inputs: [train/**] }}\n    steps:\n      - id: fit\n        run: cp train/m.json m.json; echo ran; echo least=0.5 >> $GITHUB_OUTPUT\n      - gate: {gate}\n    metrics: {{ files: m.json, goals: {{ acc: max }} }}\n"
    ))
    .file("train/m.json", r#"{"acc": 0.9}"#)
    .file("base.json", r#"{"acc": 0.9}"#)
    .git()
}

#[test]
fn a_gate_is_judged_again_on_a_hit_with_a_fresh_baseline() {
    let project = cached("{ metrics: { acc: { min: 0.5, max-worse: 0.01 } }, baseline: base.json }");
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0).stdout("from cache");
    let why = project.tidegate(["why", "a"]).code(0).stdout("came from the cache");
    why.stdout("its gate was judged again").stdout("acc 0.9 ≥ 0.9 − 0.01");
    // The model is the same, what it is compared with got better: the gate says no.
    project.write("base.json", r#"{"acc": 0.95}"#);
    project.tidegate(["run"]).code(3).stdout("on metrics from cache").stdout("0.9").nowhere("ran\n");
    project.tidegate(["runs", "show", "3"]).code(0).stdout("gate");
    project.tidegate(["why", "a"]).code(0).stdout("max-worse").stdout("gate");
    project.tidegate(["runs", "show", "3", "--format", "json"]).code(0).stdout("\"outcome\":\"fail\"");
    project.write("base.json", r#"{"acc": 0.85}"#);
    project.tidegate(["run"]).code(0).stdout("from cache");
}

#[test]
fn a_baseline_of_a_branch_is_fetched_again() {
    let project = cached("{ metrics: { acc: { min: 0.5, max-worse: 0.01 } }, baseline: 'branch:main' }");
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0).stdout("from cache");
    project.write("train/m.json", r#"{"acc": 0.99}"#);
    project.tidegate(["run"]).code(0).nowhere("from cache");
    // Back to what was good enough before: it is not any more.
    project.write("train/m.json", r#"{"acc": 0.9}"#);
    project.tidegate(["run"]).code(3).stdout("on metrics from cache");
}

/// Another job measures something of the same name, and comes after it in the alphabet.
#[test]
fn a_baseline_of_a_branch_is_that_of_the_job_that_asks() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  evaluate:
    steps:
      - run: 'echo {\\\"acc\\\":0.9} > m.json'
      - gate: { metrics: { acc: { min: 0.5, max-worse: 0.01 } }, baseline: 'branch:main' }
    metrics: { files: m.json, goals: { acc: max } }
  train:
    steps: [{ run: 'echo {\\\"acc\\\":0.99} > m.json' }]
    metrics: m.json
",
    )
    .git();
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "show", "2"]).code(0).stdout("0.9 ≥ 0.9 − 0.01");
}

#[test]
fn what_a_gate_can_ask_only_a_run_makes_the_job_run() {
    let table = [
        ("{ metrics: { acc: { min: '${{ steps.fit.outputs.least }}' } } }", "steps.fit.outputs.least"),
        ("{ metrics: { acc: { min: '${{ env.LEAST || 0.5 }}' } } }", "env.LEAST"),
        ("{ expect: [\"hashFiles('base.json') != ''\"] }", "hashFiles"),
        (
            "{ metrics: { acc: { min: 0, max-worse: 0 } }, baseline: m.json }",
            "m.json, which is not in the tree",
        ),
    ];
    for (gate, said) in table {
        let project = cached(gate);
        project.tidegate(["run"]).code(0);
        project.tidegate(["run"]).code(0).nowhere("from cache");
        project.tidegate(["why", "a"]).code(0).stdout("although it is in the cache").stdout(said);
    }
}

#[test]
fn what_is_recorded_is_enough_for_other_expressions() {
    let project = cached(
        "{ metrics: { acc: { min: '${{ vars.least || 0.5 }}' } }, expect: [\"metrics.acc > 0.8 && github.ref != ''\"] }",
    );
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0).stdout("from cache");
}

#[test]
fn a_gate_that_may_say_no_and_one_that_is_not_asked_stop_nothing() {
    for more in ["\n        continue-on-error: true", "\n        if: false"] {
        let project = cached(&format!("{{ metrics: {{ acc: {{ min: 2 }} }} }}{more}"));
        project.tidegate(["run"]).code(0);
        project.tidegate(["run"]).code(0).stdout("from cache");
    }
}

/// The numbers of the edge cases are in the gate's own table; here is how a run ends with each.
#[test]
fn how_a_run_ends_with_what_a_gate_says() {
    let table = [
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { min: 0.9 } } }", 0),
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { min: 0.91 } } }", 3),
        (r#"{"acc": NaN}"#, "{ metrics: { acc: { min: 0 } } }", 3),
        (r#"{"acc": Infinity}"#, "{ metrics: { acc: { min: 0 } } }", 3),
        (r#"{"acc": "0.9"}"#, "{ metrics: { acc: { min: 0 } } }", 3),
        (r#"{"acc": null}"#, "{ metrics: { acc: { min: 0 } } }", 3),
        (r#"{"loss": 1}"#, "{ metrics: { acc: { min: 0 } } }", 3),
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { max-worse: 1, min: 0.91 } }, baseline: 'branch:none' }", 3),
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { max-worse: 1, min: 0 } }, baseline: 'branch:none' }", 0),
        // What is not there yet is said, and nothing runs.
        (
            r#"{"acc": 0.9}"#,
            "{ metrics: { acc: { max-worse: 1, min: 0 } }, baseline: 'digits@production' }",
            1,
        ),
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { max-worse: 1, min: 0 } }, baseline: other.json }", 3),
        (r#"{"acc": 0.9}"#, "{ metrics: { acc: { max-worse: 1, min: 0 } }, baseline: nothing.json }", 1),
    ];
    for (metrics, gate, code) in table {
        let project = cached(gate).file("train/m.json", metrics).file("other.json", r#"{"loss": 1}"#);
        let done = project.tidegate(["run"]);
        assert_eq!(done.code, Some(code), "{metrics} {gate}\n{}\n{}", done.stdout, done.stderr);
    }
}
