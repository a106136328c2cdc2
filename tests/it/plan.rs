//! `tidegate plan`, called as a person would.

use crate::harness::Project;
use serde_json::Value as Json;

const PIPELINE: &str = "\
name: pipeline
on:
  push: { branches: [main], paths: [\"train/**\"] }
  workflow_dispatch:
    inputs: { seed: { type: number, default: 7 } }
jobs:
  prepare:
    steps: [{ run: make clean.csv }]
    produces: { clean: clean.csv }
    cache: true
  train:
    needs: prepare
    strategy:
      max-parallel: 2
      matrix: { model: [logreg, forest], c: [0.1, 1.0] }
    resources: { cpu: 4, memory: 16Gi, gpu: 1 }
    consumes: { clean.csv: \"${{ needs.prepare.artifacts.clean }}\" }
    steps: [{ run: \"fit ${{ matrix.model }} ${{ inputs.seed }}\" }]
    metrics: { files: metrics.json, goals: { accuracy: max } }
  evaluate:
    needs: train
    steps:
      - run: evaluate
      - gate: { metrics: { accuracy: { min: 0.95, max-worse: 2% } }, baseline: \"branch:main\" }
    metrics: { files: report.json, goals: { accuracy: max } }
  release:
    needs: evaluate
    if: github.ref == 'refs/heads/main'
    steps: [{ run: release }]
";

fn project() -> Project {
    Project::workflow(PIPELINE).file("train/fit.py", "fit").git()
}

#[test]
fn says_what_would_run_and_why() {
    let project = project();
    project.sh("git checkout -q -b deeper");
    let done = project.tidegate(["plan"]).code(0);
    let done = done.stdout("test.yml starts: started by hand\n  prepare    runs        not done before\n");
    let done = done.stdout("  train × 4  runs\n               model   c    cpu  memory  gpu\n               logreg  0.1  4    16Gi    1\n");
    let done = done.stdout("at most 2 at once").stdout("$ fit ${{ matrix.model }} 7\n");
    let done = done.stdout("consumes.clean.csv is known later: needs.prepare.artifacts.clean\n");
    let done =
        done.stdout("  evaluate   runs        gate: accuracy ≥ 0.95, at most 2% worse than branch:main\n");
    done.stdout("  release    does not    github.ref is refs/heads/deeper, not refs/heads/main\n");
}

#[test]
fn says_which_filter_said_no() {
    let project = project();
    project
        .tidegate(["plan", "--event", "push"])
        .code(0)
        .stdout("test.yml starts: branch main matches `main`, train/fit.py matches `train/**`");
    project.sh("echo x > README.md && git add . && git commit -q -m readme");
    project
        .tidegate(["plan", "--event", "push"])
        .code(0)
        .stdout("does not start: README.md is the only changed file, and nothing matches `train/**`");
    project.sh("git checkout -q -b deeper");
    project
        .tidegate(["plan", "--event", "push"])
        .code(0)
        .stdout("does not start: branch deeper matches none of `main`");
    project
        .tidegate(["plan", "--event", "schedule"])
        .code(0)
        .stdout("does not start: it has `push`, `workflow_dispatch`");
}

#[test]
fn refuses_inputs_that_do_not_fit() {
    let project = project();
    project
        .tidegate(["plan", "--input", "sed=1"])
        .code(2)
        .stdout("there is no input `sed`; did you mean `seed`?");
    project
        .tidegate(["plan", "--input", "seed=x"])
        .code(2)
        .stdout("the input `seed` must be a number, not 'x'");
    project.tidegate(["plan", "--input", "seed=9"]).code(0).stdout("fit ${{ matrix.model }} 9");
}

#[test]
fn selects_jobs_and_instances() {
    let project = project();
    let done = project.tidegate(["plan", "--job", "train", "--matrix", "model=forest,c=1"]).code(0);
    let done = done.stdout("$ fit forest 7").nowhere("evaluate");
    assert!(!done.stdout.contains("logreg"));
    project
        .tidegate(["plan", ".ml/workflows/test.yml", "--job", "trian"])
        .code(2)
        .stderr("did you mean `train`?");
    project.tidegate(["plan", "--matrix", "forest"]).code(2).stderr("write KEY=VALUE");
}

#[test]
fn data_and_pictures() {
    let project = project();
    let json: Json =
        serde_json::from_str(&project.tidegate(["plan", "--format", "json"]).code(0).stdout).unwrap();
    assert_eq!(json[0]["jobs"][1]["instances"][3]["matrix"]["model"], "forest");
    assert_eq!(json[0]["jobs"][1]["instances"][0]["settings"]["resources"]["gpus"], 1);
    let yaml = project.tidegate(["plan", "--format", "yaml"]).code(0).stdout;
    assert_eq!(serde_yaml::from_str::<Json>(&yaml).unwrap(), json);
    project.tidegate(["plan", "--format", "mermaid"]).code(0).stdout("flowchart LR").stdout("j0 --> j1");
    project.tidegate(["plan", "--format", "dot"]).code(0).stdout("digraph plan {").stdout("j0 -> j1;");
    let svg = project.tidegate(["plan", "--format", "svg"]).code(0).stdout;
    assert!(svg.starts_with("<svg ") && svg.contains("train × 4") && svg.trim_end().ends_with("</svg>"));
}

#[test]
fn says_what_is_not_there_yet() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    nodes: 4\n    steps: [{ run: x }]\n  b:\n    queue: gpu\n    steps: [{ run: x }]\n";
    let done = Project::workflow(text).git().tidegate(["plan"]).code(2);
    done.stdout("`nodes`: training on several nodes needs `--on kubernetes`")
        .stdout("`queue`: queues are those of a cluster");
}

#[test]
fn says_what_is_asked_of_a_cluster() {
    let text = "on: workflow_dispatch
defaults: { container: 'python:3.12' }
jobs:
  a:
    nodes: 2
    spot: { fallback: on-demand }
    queue: gpu
    pod-template: .ml/pod.yaml
    services: { db: { image: 'postgres:17' } }
    steps: [{ run: x }]
  b: { spot: true, steps: [{ run: x }] }
";
    let project = Project::workflow(text).file(".ml/pod.yaml", "spec: {}\n").git();
    let done = project.tidegate(["plan", "--on", "kubernetes"]).code(0);
    done.stdout("on 2 nodes at the same time")
        .stdout("on spot nodes where there are some, else on any")
        .stdout("through the queue gpu")
        .stdout("pod template .ml/pod.yaml")
        .stdout("service db (postgres:17)")
        .stdout("on spot nodes\n");
}

const SOURCES: &str = "\
on: { workflow_dispatch: { inputs: { small: { type: boolean, default: false } } } }
data:
  raw: { uri: lake/raw, include: [\"*.csv\"] }
  far: { uri: \"s3://lake/far/\" }
jobs:
  read:
    consumes: { in/: \"${{ inputs.small && data.far || data.raw }}\" }
    cache: true
    steps: [{ run: \"ls in; echo ${{ data.raw.version }}\" }]
";

/// Sources are read as `run` reads them, so that what consumes them can say what it gets and ask the cache.
#[test]
fn data_sources_are_looked_at() {
    let project = Project::workflow(SOURCES).file("lake/raw/a.csv", "12345").file("lake/raw/b.csv", "1");
    let project = project
        .file("lake/raw/notes.txt", "no")
        .file("near/x", "xyz")
        .file(".gitignore", "/lake/\n/near/\n")
        .git();
    let done = project.tidegate(["plan"]).code(2);
    let done = done.stdout("  data raw: 2 files, 6 B in lake/raw\n");
    let done = done.stdout("  data far: s3://lake/far/ is not a path").stdout("--data NAME=PATH");
    done.stdout("consumes in/: 2 files, 6 B\n").nowhere("known later");
    let kept = "test $(find .tidegate/objects -type f -size -7c | wc -l) = 0";
    project.sh(kept);
    let near = ["plan", "--data", "far=near"];
    let done = project.tidegate(near).code(0).stdout("not done before");
    let done = done.stdout("  data far: 1 file, 3 B in [PROJECT]/near\n").stdout("echo ");
    done.nowhere("${{ data");
    project.tidegate(["run", "--data", "far=near"]).code(0);
    project.sh(&format!("! ({kept})"));
    project.tidegate(near).code(0).stdout("from cache").stdout("in lake/raw, as in the last run\n");
    project.sh("echo more > lake/raw/c.csv; echo 2 > lake/raw/b.csv; rm lake/raw/a.csv");
    let done = project.tidegate(near).code(0).stdout("what it consumes");
    done.stdout("in lake/raw (1 new, 1 changed, 1 gone since the last run)\n");
    project.tidegate(["runs", "rerun", "1"]).code(0);
    let json = project.tidegate(["plan", "--data", "far=near", "--format", "json"]).code(0).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let source = &json[0]["data"][0];
    assert_eq!((&source["files"], &source["size"]), (&2.into(), &7.into()), "{source}");
    assert_eq!(
        json[0]["jobs"][0]["instances"][0]["settings"]["consumes"][0]["items"][0]["digest"],
        source["version"]
    );
}

/// What `run` refuses, the plan refuses, in the same words.
#[test]
fn data_sources_that_cannot_be_read_are_refused() {
    let project = Project::workflow(SOURCES);
    for (given, words) in [
        (&["--data", "far=nowhere", "--data", "raw=nowhere"][..], "cannot read [PROJECT]/nowhere"),
        (&["--data", "far=near", "--data", "fra=near"], "--data fra: the workflow has no data source `fra`"),
        (&["--data", "far=near", "--data", "raw=empty"], "holds no file that `include` names"),
        (&["--data", "far"], "must be NAME=VALUE"),
    ] {
        project.sh("mkdir -p near empty lake/raw; touch near/x lake/raw/a.csv");
        for command in ["plan", "run"] {
            let done = project.tidegate([command].iter().chain(given)).code(2);
            let said = done.stdout.clone() + &done.stderr;
            assert!(said.contains(words) || words.contains("NAME=VALUE"), "{command} {given:?}: {said}");
        }
    }
}

/// Names that would end a label, start a tag, steer a terminal, or never end.
const HOSTILE: &str = r#"
name: "w %%{init: {'theme': 'dark'}}%% --> \"x\" <b>\n---\n]"
on: workflow_dispatch
jobs:
  a:
    name: "q\" ]} --> j1 <script>alert(1)</script> #quot; `md` \\n %%{init: {}}%% \u2028 \u202e evil \e[31m \e]0;title\a ; end"
    steps: [{ run: x }]
  b:
    needs: a
    strategy: { matrix: { v: ["\"", "]", "-->", "{x}", "😀", "\u202ertl", "a\nb \e[2J"] } }
    steps: [{ name: "s \e[31m", run: "printf '\e[31m'" }]
  end:
    name: "مرحبا 日本語 & < > ' | \\ "
    needs: b
    if: github.ref != '\e[31m'
    steps: [{ run: x }]
"#;

#[test]
fn hostile_names_stay_within_their_labels() {
    let long = format!("  long:\n    name: {}\n    steps: [{{ run: x }}]\n", "x".repeat(10_000));
    let project = Project::workflow(&format!("{HOSTILE}{long}"));
    let plan = |format: &str| {
        let text = project.tidegate(["plan", "--format", format]).code(0).stdout;
        let steers = |c: char| c.is_control() && c != '\n';
        let turns = |c: char| matches!(c, '\u{2028}' | '\u{202a}'..='\u{202e}');
        assert!(!text.contains(steers) && !text.contains(turns), "{format}: {text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 1000), "{format}: {text}");
        text
    };
    let text = plan("text");
    let shown = text.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    assert_eq!(shown.count(), 4, "a line for each job:\n{text}");
    project.sh(&format!(
        "tidegate() {{ '{}' \"$@\"; }}; tidegate run > out 2>&1; ! grep -q $(printf '\\033') out",
        crate::harness::binary().display()
    ));

    let mermaid = plan("mermaid");
    // One line for each node and edge; nothing in a label is of mermaid's grammar.
    let nodes: Vec<&str> = mermaid.lines().filter(|line| line.contains("]:::")).collect();
    assert_eq!(
        (nodes.len(), mermaid.lines().filter(|line| line.contains(" --> ") && !line.contains('"')).count()),
        (4, 2),
        "{mermaid}"
    );
    assert!(!mermaid.contains("%%{") && mermaid.matches('"').count() == 2 * nodes.len() + 2, "{mermaid}");
    for node in nodes {
        let label = node.split('"').nth(1).unwrap();
        let rest = label.replace("<b>", "").replace("</b>", "").replace("<br/>", "");
        assert!(!rest.contains(['<', '>', '%', '`', '\\']), "{rest}");
    }

    let dot = plan("dot");
    project.write("plan.dot", &dot);
    project.write("plan.svg", &plan("svg"));
    let strings = dot.replace("\\\\", "").replace("\\\"", "");
    assert!(strings.lines().all(|line| line.matches('"').count() % 2 == 0), "{dot}");
    // Where the real readers are installed, they read it.
    project.sh("if command -v dot > /dev/null; then dot -Tsvg plan.dot > dot.svg; fi; if command -v python3 > /dev/null; then for f in plan.svg dot.svg; do [ ! -s $f ] || python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' $f; done; fi");
}

#[test]
fn wrong_arguments_are_told() {
    let project = Project::new();
    project.tidegate(["plan"]).code(2).stderr("there is no workflow");
    project.tidegate(["plan", "nowhere.yml"]).code(2).stderr("cannot read nowhere.yml");
    let project = Project::workflow("on: push\njobs: { a: { steps: [{ run: x, nme: y }] } }\n");
    project.tidegate(["plan"]).code(2).stderr("did you mean `name`?");
    project.write("event.json", "[1]");
    project
        .tidegate(["plan", "--event", "push", "--event-path", "event.json"])
        .code(2)
        .stderr("is no JSON object");
}
