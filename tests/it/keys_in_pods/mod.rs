//! Every key of a file, one by one, for pods, without a cluster: it changes the manifests or what the log keeps of the job, or
//! `plan` says that it does not. For a key whose effect is the agent's own, the table names a test of that, and here it is
//! held only that the test is there and `plan` takes the key: what the key does, that test holds.

mod rows;

use crate::harness::Project;
use rows::{CALL, Does, FILE, JOB, Row, STEP};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Shapes of the schema whose keys have rows. What is not there yet (`notebook`, `register`, `deploy`) is refused as a whole.
const SHAPES: [&str; 17] = [
    "concurrency",
    "job",
    "defaults",
    "container",
    "service",
    "strategy",
    "step",
    "python",
    "resources",
    "retry",
    "checkpoint",
    "produce",
    "consume",
    "metrics",
    "cache",
    "gate",
    "validate",
];

const FIRST: &str = "  first: { produces: { o: o }, steps: [{ run: 'true' }] }\n";

fn of_file(keys: &str) -> String {
    format!("{keys}\njobs:\n{FIRST}  a:\n    steps: [{{ run: 'true' }}]\n")
}

fn of_job(keys: &str) -> String {
    format!("jobs:\n{FIRST}  a:\n    {keys}\n    steps: [{{ run: 'true' }}]\n")
}

fn of_call(keys: &str) -> String {
    format!("jobs:\n{FIRST}  a:\n    {keys}\n")
}

fn of_step(step: &str) -> String {
    format!(
        "jobs:\n{FIRST}  a:\n    environment: production\n    metrics: {{ files: m.json, goals: {{ loss: min }} }}\n    \
         steps:\n      - run: 'true'\n      - {step}\n"
    )
}

fn project(text: &str) -> Project {
    Project::workflow(&format!("on: workflow_dispatch\n{text}"))
        .file("lake/a.csv", "n\n1\n")
        .file("t.yaml", "spec: { priorityClassName: high }\n")
        .file("act/action.yml", "name: act\nruns: { using: composite, steps: [{ run: 'true', shell: sh }] }\n")
        .file(
            "beside/action.yml",
            "name: b\nruns: { using: composite, steps: [{ run: 'true', shell: sh }, { run: 'true', shell: sh, background: true }] }\n",
        )
        .file(
            ".ml/workflows/called.yml",
            "on: { workflow_call: { inputs: { x: { type: string } } } }
jobs: { b: { container: called:1, strategy: { matrix: { x: ['${{ inputs.x }}'] } }, steps: [{ run: 'true' }] } }\n",
        )
}

/// What `plan` says, in one of its forms, and how it ended.
fn plan(project: &Project, format: &str) -> (Option<i32>, String) {
    let image = ["--on", "kubernetes", "--image", "usual:1"];
    let done =
        project.tidegate([&["plan"], &image[..], &["--format", format, ".ml/workflows/test.yml"]].concat());
    (done.code, done.stdout + &done.stderr)
}

/// Tells what of a row does not hold; `without` is the same file without the key.
fn wrong(text: &str, without: &str, does: &Does) -> Option<String> {
    let (with, without) = (project(text), project(without));
    let (code, said) = plan(&with, "json");
    let check = || {
        let done = with.tidegate(["check", "--on", "kubernetes", ".ml/workflows/test.yml"]);
        (done.code, done.stdout + &done.stderr)
    };
    let new = |format: &str, words: &str| {
        let now = plan(&with, format);
        let right = now.0 == Some(0) && now.1.contains(words) && !plan(&without, format).1.contains(words);
        (!right).then(|| format!("no new {words:?} in the plan: {:?}\n{}", now.0, now.1))
    };
    let ends = |expected: i32, words: &str| {
        let right = code == Some(expected) && said.contains(words);
        (!right).then(|| format!("plan {code:?}, no {words:?} in:\n{said}"))
    };
    let both = |expected: i32, words: &str| {
        let (code, found) = check();
        let right = code == Some(expected) && found.contains(words);
        ends(expected, words)
            .or_else(|| (!right).then(|| format!("check {code:?}, no {words:?} in:\n{found}")))
    };
    match does {
        Does::Makes(words) => new("yaml", words),
        Does::Keeps(words) => new("json", words),
        Does::Says(words) => both(0, words),
        Does::Refuses(words) => both(2, words),
        Does::Runs(file, test) => (!is_test(&text_of(file), test))
            .then(|| format!("{file} has no test {test}"))
            .or_else(|| ends(0, "")),
        Does::Nothing(file, words) => {
            let said = text_of(file).contains(words);
            (!said).then(|| format!("{file} does not say {words:?}")).or_else(|| ends(0, ""))
        }
    }
}

/// A file of the repository; empty where there is none.
fn text_of(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

/// Why tests are left out that this repository runs all the same, where there is a cluster.
const ON_A_CLUSTER: &str = "#[ignore = \"needs the cluster of tests/cluster\"]";

/// Tells whether a file has a test of this name, and one that is run.
fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("\nfn {name}() {{")) else { return false };
    let attributes: Vec<&str> = before.lines().rev().take_while(|line| line.starts_with("#[")).collect();
    attributes.contains(&"#[test]")
        && attributes.iter().all(|line| !line.starts_with("#[ignore") || *line == ON_A_CLUSTER)
}

#[test]
fn a_test_that_is_gone_or_left_out_is_none() {
    let text = format!(
        "\n#[test]\nfn is() {{\n}}\n\n#[test]\n#[ignore = \"slow\"]\nfn slow() {{\n}}\n\nfn plain() {{\n}}\n\n#[test]\n{ON_A_CLUSTER}\nfn far() {{\n}}\n"
    );
    for (name, there) in
        [("is", true), ("far", true), ("slow", false), ("plain", false), ("i", false), ("gone", false)]
    {
        assert_eq!(is_test(&text, name), there, "{name}");
    }
}

fn walk(rows: &[Row], whole: fn(&str) -> String, without: &str) {
    let without = whole(without);
    let failed: String = rows
        .iter()
        .filter_map(|(key, text, does)| {
            Some(format!("\n=== {key}\n{}\n", wrong(&whole(text), &without, does)?))
        })
        .collect();
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn keys_of_the_file_in_pods() {
    walk(FILE, of_file, "");
}

#[test]
fn keys_of_a_job_in_pods() {
    walk(JOB, of_job, "name: a");
}

#[test]
fn keys_of_a_call_in_pods() {
    walk(CALL, of_call, "steps: [{ run: 'true' }]");
}

#[test]
fn keys_of_a_step_in_pods() {
    walk(STEP, of_step, "{ run: 'true' }");
}

/// A key of tomorrow needs a row.
#[test]
fn each_key_of_the_schema_has_a_row() {
    let schema = Project::new().tidegate(["schema"]).code(0).stdout;
    let schema: Json = serde_json::from_str(&schema).unwrap();
    let mut shapes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for shape in SHAPES {
        keys(&schema["$defs"][shape], shapes.entry(shape.to_owned()).or_default());
    }
    let rows = [FILE, JOB, CALL, STEP].into_iter().flatten();
    let rows: BTreeSet<&str> = rows.map(|(key, ..)| key.split(',').next().unwrap()).collect();
    let missing: Vec<String> = shapes
        .iter()
        .flat_map(|(shape, keys)| keys.iter().map(move |key| format!("{shape}.{key}")))
        .filter(|key| !rows.contains(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    assert!(shapes.values().all(|keys| !keys.is_empty()), "{shapes:?}");
}

/// The keys of a shape, whatever forms it has.
fn keys(shape: &Json, into: &mut BTreeSet<String>) {
    into.extend(shape["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
    for forms in ["anyOf", "oneOf", "allOf"] {
        shape[forms].as_array().into_iter().flatten().for_each(|form| keys(form, into));
    }
}
