//! Actions, gates, validations and what an attempt leaves, through the supervisor.

use crate::agent::{Host, Ran, job, script, step};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use tidegate_flow::gate::Outcome;
use tidegate_flow::job::{
    ActionSpec, CheckpointSpec, Conclusion, ConsumeSpec, EnvLayer, FailureClass, GateSpec, JobSpec,
    MessageBody, MetricsSpec, ProduceSpec, RetrySpec, SourceSpec, StepSpec, ValidateSpec,
};
use tidegate_lang::workflow::BoundKind;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let to = dir.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, text).unwrap();
    }
    dir
}

fn in_place(dir: &Path, steps: Vec<StepSpec>) -> JobSpec {
    let source = SourceSpec { in_place: Some(dir.to_string_lossy().into_owned()), ..SourceSpec::default() };
    JobSpec { source, ..job(steps) }
}

fn uses(id: &str, path: &str, with: &[(&str, &str)]) -> StepSpec {
    let with = with.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    StepSpec { id: id.into(), action: ActionSpec::Uses { uses: path.into(), with }, ..StepSpec::default() }
}

const OUTER: &str = r#"
name: outer
inputs:
  who: { required: true }
  greeting: { default: "hello from ${{ github.repository }}" }
outputs:
  said: { value: "${{ steps.say.outputs.text }}" }
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env: { INNER: "${{ inputs.who }}" }
      run: |
        echo "text=${{ inputs.greeting }}, $INNER" >> "$GITHUB_OUTPUT"
        echo "LATER=set" >> "$GITHUB_ENV"
        test -f "$GITHUB_ACTION_PATH/action.yml"
        test -f "${{ github.action_path }}/action.yml"
        echo "outer sees [$STEP] [${{ env.STEP }}]"
    - shell: bash
      run: echo "inner again [$INNER] [$LATER]"
    - uses: ./actions/inner
"#;

const INNER: &str = r#"
name: inner
runs:
  using: composite
  steps:
    - run: echo "inner steps [${{ steps.say.outputs.text }}] [${{ inputs.who }}]"
      shell: sh
"#;

#[test]
fn composite_actions_nest_and_do_not_leak() {
    let host = Host::start();
    let dir = tree(&[("actions/outer/action.yml", OUTER), ("actions/inner/action.yaml", INNER)]);
    let mut call = uses("call", "./actions/outer", &[("WHO", "${{ github.ref }}")]);
    call.env = EnvLayer { variables: vec![("STEP".into(), "s".into())], expression: None };
    let spec = in_place(
        dir.path(),
        vec![call, step("", "", "echo \"${{ steps.call.outputs.said }} [$STEP] [$LATER]\"")],
    );
    let ran = host.run(&spec, &[]).ok();
    assert_eq!(
        ran.log(),
        "outer sees [s] [s]\ninner again [] [set]\ninner steps [] []\nhello from o/r, refs/heads/main [] [set]\n"
    );
    assert_eq!(ran.steps().len(), 2);
}

#[test]
fn a_failing_composite_fails_its_step() {
    let host = Host::start();
    let action = "name: x\nruns:\n  using: composite\n  steps:\n    - run: exit 4\n      shell: bash\n    - run: echo no\n      shell: bash\n    - run: echo yes\n      shell: bash\n      if: failure()\n";
    let node = "name: x\nruns: { using: node20, main: a.js }\n";
    let dir = tree(&[("a/action.yml", action), ("n/action.yml", node)]);
    let ran = host.run(&in_place(dir.path(), vec![uses("", "./a", &[])]), &[]);
    assert_eq!((ran.receipt().conclusion, ran.receipt().exit), (Conclusion::Failure, Some(4)));
    assert!(ran.log().contains("yes\n") && !ran.log().contains("no\n"), "{}", ran.log());
    let ran = host.run(&in_place(dir.path(), vec![uses("", "./n", &[])]), &[]);
    assert!(ran.receipt().reason.as_deref().unwrap_or_default().contains("JavaScript action"));
}

/// One that an earlier step wrote is seen by no check.
#[test]
fn a_background_step_of_an_action_is_refused() {
    let host = Host::start();
    let action = "name: x\nruns:\n  using: composite\n  steps:\n    - { run: echo ran, shell: sh, background: true }\n";
    let dir = tree(&[("a/action.yml", action)]);
    let ran = host.run(&in_place(dir.path(), vec![uses("", "./a", &[])]), &[]);
    let reason = ran.receipt().reason.clone().unwrap_or_default();
    assert!(reason.contains("`uses: ./a`: `background` of step `__run`: steps that run beside"), "{reason}");
    assert!(!ran.log().contains("ran\n"), "{}", ran.log());
}

fn gate(bounds: &[(&str, BoundKind, &str)], baseline: Option<&str>) -> StepSpec {
    let metrics = bounds.iter().map(|(m, k, l)| ((*m).to_owned(), vec![(*k, (*l).to_owned())])).collect();
    let action =
        ActionSpec::Gate(GateSpec { metrics, expect: vec![], baseline: baseline.map(str::to_owned) });
    StepSpec { action, ..StepSpec::default() }
}

fn outcome(ran: &Ran) -> Option<Outcome> {
    ran.messages
        .iter()
        .find_map(|m| if let MessageBody::Judged { verdict, .. } = m { Some(verdict.outcome) } else { None })
}

#[test]
fn gates_read_what_this_attempt_measured() {
    let host = Host::start();
    let dir = tree(&[("metrics.json", "{\"acc\": 0.99}"), ("base.json", "{\"acc\": 0.96}")]);
    let with = |steps| JobSpec {
        metrics: MetricsSpec {
            files: vec!["metrics.json".into()],
            goals: [("acc".to_owned(), "max".to_owned())].into(),
        },
        ..in_place(dir.path(), steps)
    };
    // The file of the tree is not this attempt's.
    let ran = host.run(&with(vec![gate(&[("acc", BoundKind::Min, "0.9")], None)]), &[]);
    assert_eq!((outcome(&ran), ran.receipt().class), (Some(Outcome::Fail), Some(FailureClass::Gate)));
    let write = || script("echo '{\"acc\": 0.95, \"n\": {\"x\": 1}}' > metrics.json");
    let ran = host.run(&with(vec![write(), gate(&[("acc", BoundKind::Min, "0.9")], None)]), &[]).ok();
    assert_eq!((outcome(&ran), &ran.receipt().metrics["n.x"]), (Some(Outcome::Pass), &serde_json::json!(1)));
    let worse =
        gate(&[("acc", BoundKind::Min, "0.9"), ("acc", BoundKind::MaxWorse, "0.005")], Some("base.json"));
    let ran = host.run(&with(vec![write(), worse]), &[]);
    assert_eq!(ran.receipt().class, Some(FailureClass::Gate), "{:?}", ran.receipt());
}

#[test]
fn validations_stop_a_job_and_name_the_row() {
    let host = Host::start();
    let dir = tree(&[
        ("d.csv", "n\n1\nx\n"),
        ("s.json", "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}"),
    ]);
    let action = ActionSpec::Validate(ValidateSpec {
        data: "d.csv".into(),
        schema: Some("s.json".into()),
        rows: Some(serde_json::json!({"min": 1})),
        ..ValidateSpec::default()
    });
    let ran = host.run(&in_place(dir.path(), vec![StepSpec { action, ..StepSpec::default() }]), &[]);
    assert_eq!(ran.receipt().class, Some(FailureClass::Gate));
    let reason = ran.receipt().reason.clone().unwrap_or_default();
    assert!(reason.contains("row 2 (line 3)"), "{reason}");
}

#[test]
fn a_step_is_tried_again_by_class() {
    let host = Host::start();
    let mut flaky = script("n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; test $n -ge 2");
    flaky.retry = Some(RetrySpec { attempts: 3, ..RetrySpec::default() });
    host.run(&job(vec![flaky.clone()]), &[]).ok();
    flaky.retry = Some(RetrySpec { attempts: 3, on: vec!["oom".into()], ..RetrySpec::default() });
    assert_eq!(host.run(&job(vec![flaky]), &[]).receipt().conclusion, Conclusion::Failure);
}

#[test]
fn only_new_products_count() {
    let host = Host::start();
    let dir = tree(&[("old.txt", "old")]);
    let with = |path: &str, ignore_missing| JobSpec {
        produces: vec![ProduceSpec { name: "p".into(), path: path.into(), ignore_missing }],
        ..in_place(dir.path(), vec![script("true")])
    };
    let ran = host.run(&with("old.txt", false), &[]);
    assert!(ran.receipt().reason.as_deref().unwrap_or_default().contains("this attempt did not write it"));
    let ran = host.run(&with("none.txt", false), &[]);
    assert!(ran.receipt().reason.as_deref().unwrap_or_default().contains("does not exist"));
    host.run(&with("none.txt", true), &[]).ok();
}

#[test]
fn products_uploads_and_caches_come_back() {
    let host = Host::start();
    let mut make = job(vec![
        script("mkdir -p out/deep; echo a > out/a; echo b > out/deep/b; mkdir cached; echo c > cached/c"),
        uses("", "actions/upload-artifact@v4", &[("name", "files"), ("path", "out")]),
        uses("cache", "actions/cache@v4", &[("key", "k-1"), ("path", "cached")]),
    ]);
    make.produces = vec![ProduceSpec { name: "out".into(), path: "out/".into(), ignore_missing: false }];
    let ran = host.run(&make, &[]).ok();
    let product = ran.receipt().artifacts["out"].clone();
    assert_eq!((product.files, product.tree), (2, true));
    assert!(ran.receipt().uploads.contains_key("files"));
    let mut read = job(vec![
        uses("cache", "actions/cache@v4", &[("key", "k-2"), ("path", "cached"), ("restore-keys", "k-")]),
        step(
            "",
            "",
            "cat in/a in/deep/b cached/c; echo ${{ steps.cache.outputs.cache-matched-key }} [${{ steps.cache.outputs.cache-hit }}]",
        ),
    ]);
    read.consumes = vec![ConsumeSpec { path: "in/".into(), items: vec![product], ..ConsumeSpec::default() }];
    let ran = host.run(&read, &[]).ok();
    assert!(ran.log().contains("a\nb\nc\nk-1 [false]\n"), "{}", ran.log());
}

#[test]
fn a_checkpoint_outlives_its_attempt() {
    let host = Host::start();
    let with = |attempt, text: &str| JobSpec {
        attempt,
        checkpoint: Some(CheckpointSpec {
            path: "ckpt".into(),
            key: "train-0".into(),
            ..CheckpointSpec::default()
        }),
        ..job(vec![script(text)])
    };
    let ran = host.run(&with(1, "echo epoch-3 > ckpt/state; kill -9 $$"), &[]);
    assert_eq!((ran.receipt().conclusion, ran.receipt().exit), (Conclusion::Failure, Some(137)));
    let ran = host.run(&with(2, "cat ckpt/state"), &[]).ok();
    assert_eq!(ran.log(), "epoch-3\n");
    assert!(ran.messages.iter().any(
        |m| matches!(m, MessageBody::Started { notes } if notes.iter().any(|n| n.contains("continues")))
    ));
}

/// A pipe would wait for a writer for ever: neither a time-out nor a cancel would end that.
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let host = Host::start();
    let dir = tree(&[]);
    let tolerant = |name: &str, with: &[(&str, &str)]| StepSpec {
        continue_on_error: "true".into(),
        ..uses("", name, with)
    };
    let mut spec = in_place(
        dir.path(),
        vec![
            script("mkdir out; echo x > out/f; mkfifo out/p m.json data.csv; ln -s out/p q.json"),
            tolerant("actions/upload-artifact@v4", &[("path", "out")]),
            tolerant("actions/cache/save@v4", &[("key", "k"), ("path", "out")]),
            uses("", "actions/upload-artifact@v4", &[("path", "out/f")]),
        ],
    );
    spec.metrics.files = vec!["m.json".into()];
    spec.params.files = vec!["q.json".into()];
    // Whoever waits is let go in the end, so that this can fail.
    let pipes = ["out/p", "m.json", "data.csv"].map(|pipe| dir.path().join(pipe));
    let (done, end) = channel::<()>();
    let release = std::thread::spawn(move || {
        while end
            .recv_timeout(std::time::Duration::from_secs(20))
            .is_err_and(|e| e == RecvTimeoutError::Timeout)
        {
            for pipe in &pipes {
                let _ = std::fs::File::options().read(true).write(true).open(pipe);
            }
        }
    });
    let ran = host.run(&spec, &[]).ok();
    let outcomes: Vec<_> = ran.steps().into_iter().map(|(outcome, _)| outcome).collect();
    use Conclusion::{Failure, Success};
    assert_eq!(outcomes, [Success, Failure, Failure, Success], "{}", ran.log());
    for what in ["metrics: m.json: ", "params: q.json: ", "upload-artifact: cannot take ", "actions/cache: "]
    {
        let says = |line: &str| line.contains(what) && line.contains("neither a file nor a folder");
        assert!(ran.log().lines().any(says), "{what}: {}", ran.log());
    }
    let data = ValidateSpec { data: "data.csv".into(), ..ValidateSpec::default() };
    let judge = StepSpec { action: ActionSpec::Validate(data), ..StepSpec::default() };
    let ran = host.run(&in_place(dir.path(), vec![judge]), &[]);
    assert!(ran.log().contains("data.csv: neither a file nor a folder"), "{}", ran.log());
    drop(done);
    release.join().unwrap();
}
