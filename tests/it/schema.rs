//! `schema/workflow.schema.json`: made by the code, and of one mind with the parser.

use crate::conformance_expressions::conformance;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_lang::source::{FileId, MergeKeys, Node, NodeKind, ScalarStyle, Severity, load_with};
use tidegate_lang::workflow::{Dialect, parse, schema};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/workflow.schema.json");

/// `TIDEGATE_WRITE=1 cargo test --test it schema` writes the file anew.
#[test]
fn the_file_is_what_the_code_makes() {
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("TIDEGATE_WRITE").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    assert!(fs::read_to_string(FILE).unwrap() == made, "run TIDEGATE_WRITE=1 cargo test --test it schema");
}

#[test]
fn what_the_parser_takes_the_schema_takes() {
    let checker = jsonschema::validator_for(&schema()).unwrap();
    let (mut taken, mut refused, mut seen) = (0, 0, 0);
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    gather(conformance("VERDICTS.jsonl").parent().unwrap(), &mut files);
    for path in files {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let (Some(node), findings) = load_with(FileId(0), &text, MergeKeys::Keep) else { continue };
        let NodeKind::Mapping(entries) = &node.kind else { continue };
        if !findings.is_empty() || !entries.iter().any(|e| &*e.key == "jobs") {
            continue;
        }
        let (_, findings) = parse(&node, &text, FileId(0), Dialect::Github);
        let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
        let json = as_json(&node);
        let said = checker.validate(&json);
        if errors.is_empty() {
            taken += 1;
            if let Err(error) = said {
                wrong.push(format!("{}: {} at {}", path.display(), error, error.instance_path()));
            }
        } else if errors.iter().any(|f| matches!(f.rule, "unknown-key" | "wrong-type" | "missing-key")) {
            refused += 1;
            seen += usize::from(said.is_err());
        }
    }
    println!(
        "schema: {} of {taken} accepted files accepted; {seen} of {refused} shape errors seen",
        taken - wrong.len()
    );
    assert!(taken > 200 && wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 20 && seen * 2 > refused, "the schema sees {seen} of {refused} shape errors");
}

#[test]
fn tidegates_own_keys_are_in_it() {
    let text = "
on: { workflow_dispatch: }
data: { digits: { uri: data/ } }
jobs:
  train:
    resources: { cpu: 4, memory: 16Gi, gpu: { count: 1 } }
    retry: { attempts: 3, on: [failure, oom] }
    steps:
      - run: python fit.py
      - gate: { metrics: { accuracy: { min: 0.95 } } }
    metrics: { files: metrics.json, goals: { accuracy: max } }
    produces: { model: model.joblib }
    cache: true
";
    let checker = jsonschema::validator_for(&schema()).unwrap();
    let (node, findings) = load_with(FileId(0), text, MergeKeys::Keep);
    let node = node.unwrap();
    assert!(findings.is_empty() && parse(&node, text, FileId(0), Dialect::Tidegate).1.is_empty());
    assert!(checker.is_valid(&as_json(&node)));
    let bent = text.replace("gate: {", "gate: { metric: 1, ");
    let (node, _) = load_with(FileId(0), &bent, MergeKeys::Keep);
    assert!(!checker.is_valid(&as_json(&node.unwrap())));
}

fn gather(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            files.push(path);
        }
    }
}

/// A tree as editors see it.
fn as_json(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Sequence(items) => items.iter().map(as_json).collect(),
        NodeKind::Mapping(entries) => {
            Value::Object(entries.iter().map(|e| (e.key.to_string(), as_json(&e.value))).collect())
        }
        NodeKind::Scalar(scalar) if scalar.style != ScalarStyle::Plain => scalar.text.to_string().into(),
        NodeKind::Scalar(scalar) => match &*scalar.text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            text => text.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        },
    }
}

#[test]
fn every_key_is_described() {
    let schema = schema();
    let (mut keys, mut bare) = (0, Vec::new());
    visit(&schema, String::new(), &mut |node, path| {
        for (name, shape) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            keys += 1;
            if shape["description"].as_str().is_none_or(|text| text.len() < 3) {
                bare.push(format!("{path}/{name}"));
            }
        }
    });
    assert!(keys > 250, "{keys}");
    assert!(bare.is_empty(), "keys without a description: {bare:#?}");
    assert!(schema["title"].is_string() && schema["$schema"].is_string());
}

fn visit(node: &Value, path: String, look: &mut dyn FnMut(&Value, &str)) {
    look(node, &path);
    match node {
        Value::Object(map) => map.iter().for_each(|(k, v)| visit(v, format!("{path}/{k}"), look)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| visit(v, format!("{path}/{i}"), look));
        }
        _ => {}
    }
}

/// A file with nearly every key, from which others are made.
const WHOLE: &str = r#"
name: all
run-name: "by ${{ github.actor }}"
on:
  push: { branches: [main], tags-ignore: [old], paths: ["train/**"] }
  pull_request: { types: [opened] }
  schedule: [{ cron: "0 3 * * 1", timezone: Europe/Paris }]
  workflow_dispatch: { inputs: { seed: { type: number, default: 7, required: false, description: a seed }, kind: { type: choice, options: [a, b], default: a } } }
  workflow_call:
    inputs: { depth: { type: string, required: true, default: "" } }
    secrets: { TOKEN: { required: true, description: a token } }
    outputs: { best: { description: the best, value: "${{ jobs.train.outputs.best }}" } }
  data: { digits: { every: 5m, settle: 2m } }
  model: { digits: { alias: production } }
data: { digits: { uri: data/, include: ["*.csv"], exclude: [x.csv] }, more: data2 }
env: { A: one, B: 2 }
defaults: { run: { shell: bash, working-directory: train }, container: python, python: { version: "3.11", packages: [numpy] } }
concurrency: { group: g, cancel-in-progress: true, queue: single }
permissions: { contents: read, issues: write }
jobs:
  train:
    name: "train ${{ matrix.m }}"
    if: github.ref == 'refs/heads/main'
    runs-on: { group: big, labels: [gpu, linux] }
    container: { image: python, credentials: { username: u, password: "${{ secrets.P }}" }, env: { X: 1 }, ports: [80], volumes: ["a:b"], options: --init }
    strategy: { matrix: { m: [a, b], include: [{ m: c }], exclude: [{ m: a }] }, fail-fast: false, max-parallel: 2 }
    timeout-minutes: 30
    continue-on-error: false
    environment: { name: production, url: "https://x.y" }
    outputs: { best: "${{ steps.fit.outputs.best }}" }
    permissions: read-all
    python: { version: "3.11", requirements: requirements.txt }
    resources: { cpu: 4, memory: 16Gi, shm: 1Gi, ephemeral-storage: 1Gi, gpu: { count: 1, product: A100 } }
    retry: { attempts: 3, on: [failure, oom], infra: 2, backoff: { initial: 10s, factor: 2, max: 5m }, oom: { memory-factor: 2, max-memory: 64Gi } }
    checkpoint: { path: ckpt, every: 5m, grace: 1m }
    produces: { model: model.bin, report: { path: r.json, if-missing: ignore } }
    consumes: { raw: "${{ data.digits }}" }
    metrics: { files: [m.json], goals: { accuracy: max } }
    params: p.json
    cache: { inputs: ["train/**"], key: k, version: "2" }
    pod-template: t.yaml
    queue: q
    spot: true
    nodes: 2
    steps:
      - { id: fit, name: fit, if: always(), run: python fit.py, shell: bash, working-directory: train, env: { C: d }, continue-on-error: true, timeout-minutes: 5 }
      - { uses: actions/checkout@v4, with: { path: x, fetch-depth: 1 } }
      - { run: x, container: alpine, resources: { cpu: 1 }, retry: { attempts: 2 } }
      - gate: { metrics: { accuracy: { min: 0.9, max-worse: 1% } }, expect: ["${{ metrics.a > 1 }}"], baseline: "branch:main" }
      - validate: { data: clean.csv, schema: s.json, rows: { min: 1 }, unique: [id], nulls: { a: 0 } }
      - notebook: { path: n.ipynb, params: { a: 1 }, kernel: python3, output: o.ipynb }
      - register: { model: m, path: model.bin, alias: candidate }
      - deploy: { model: m@candidate, target: { kubernetes: { deployment: d } }, canary: { steps: [10] }, promote: production }
  call:
    needs: [train]
    uses: ./.github/workflows/other.yml
    with: { a: 1 }
    secrets: inherit
"#;

/// What the schema takes and the parser does not, with the reason. The schema serves both dialects.
const ONLY_PARSER: &[(&str, &str)] = &[
    ("add on.workflow_dispatch", "GitHub takes unknown keys here"),
    ("map jobs.*.strategy.matrix", "`include` alone is a matrix, so no key is required"),
    ("null jobs.*.secrets", "GitHub takes it"),
    ("null jobs.*.steps.*.env", "GitHub takes it"),
    ("null jobs.*.steps.*.with", "GitHub takes it"),
    ("null jobs.*.with", "GitHub takes it"),
    ("text on.workflow_dispatch.inputs.*.default", "what a default may be hangs on the input's type"),
];

/// What the parser takes and the schema does not, with the reason.
const ONLY_SCHEMA: &[(&str, &str)] = &[
    ("empty jobs.*.resources.gpu.product", "the rule gpu-mismatch judges products"),
    ("lists jobs.*.resources.gpu.product", "the rule gpu-mismatch judges products"),
    ("map jobs.*.resources.gpu.product", "the rule gpu-mismatch judges products"),
];

/// A path with the names that people choose left out, and the numbers of list entries.
fn general(path: &[String]) -> String {
    let chosen = [
        "jobs", "inputs", "secrets", "outputs", "env", "produces", "consumes", "goals", "data", "model",
        "with", "nulls",
    ];
    let mut shown = Vec::new();
    for (index, part) in path.iter().enumerate() {
        let under = index.checked_sub(1).and_then(|i| path.get(i)).map(String::as_str);
        let named = under.is_some_and(|u| chosen.contains(&u)) || part.parse::<usize>().is_ok();
        shown.push(if named { "*" } else { part.as_str() });
    }
    shown.join(".")
}

/// Every place of a tree, outermost first.
fn places(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => return,
    };
    for (key, child) in children {
        at.push(key);
        found.push(at.clone());
        places(child, at, found);
        at.pop();
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().fold(String::new(), |all, p| all + "/" + &p.replace('~', "~0").replace('/', "~1"))
}

/// Small files that together have all keys of `WHOLE`, each with the path of what it is about.
fn parts(whole: &Value) -> Vec<(Value, Vec<String>)> {
    let step = serde_json::json!([{ "run": "x" }]);
    let plain = serde_json::json!({ "on": "push", "jobs": { "train": { "steps": step } } });
    let mut parts = Vec::new();
    let mut part = |path: &[&str], value: &Value| {
        let mut file = plain.clone();
        let (last, parent) = path.split_last().unwrap();
        let parent: Vec<String> = parent.iter().map(|p| (*p).to_owned()).collect();
        match file.pointer_mut(&pointer(&parent)) {
            Some(Value::Object(map)) => drop(map.insert((*last).to_owned(), value.clone())),
            Some(Value::Array(items)) => items[0] = value.clone(),
            _ => unreachable!("{path:?}"),
        }
        parts.push((file, path.iter().map(|p| (*p).to_owned()).collect()));
    };
    for (key, value) in whole.as_object().unwrap().iter().filter(|(key, _)| *key != "jobs") {
        part(&[key], value);
    }
    part(&["jobs"], &plain["jobs"]);
    part(&["jobs", "call"], &whole["jobs"]["call"]);
    for (key, value) in whole["jobs"]["train"].as_object().unwrap() {
        match value.as_array().filter(|_| key == "steps") {
            Some(steps) => steps.iter().for_each(|step| part(&["jobs", "train", "steps", "0"], step)),
            None => part(&["jobs", "train", key], value),
        }
    }
    parts
}

/// All files that differ from one in one place: a key dropped, one added, a value of another type;
/// with what was done and where.
fn bent(whole: &Value, about: &[String]) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    places(whole, &mut Vec::new(), &mut all);
    let mut made = Vec::new();
    for path in all.into_iter().filter(|path| path.starts_with(about)) {
        let (last, parent) = path.split_last().unwrap();
        let shown = general(&path);
        let mut dropped = whole.clone();
        match dropped.pointer_mut(&pointer(parent)) {
            Some(Value::Object(map)) => drop(map.remove(last)),
            Some(Value::Array(items)) => drop(items.remove(last.parse().unwrap())),
            _ => continue,
        }
        made.push((format!("drop {shown}"), dropped));
        let old = whole.pointer(&pointer(&path)).unwrap();
        if old.is_object() {
            let mut added = whole.clone();
            let map = added.pointer_mut(&pointer(&path)).and_then(Value::as_object_mut).unwrap();
            map.insert("zz-unknown".to_owned(), "x".into());
            made.push((format!("add {shown}"), added));
        }
        for (name, new) in [
            ("null", Value::Null),
            ("flag", true.into()),
            ("number", 7.into()),
            ("text", "word".into()),
            ("empty", "".into()),
            ("list", serde_json::json!([])),
            ("map", serde_json::json!({})),
            ("lists", serde_json::json!([["x"]])),
        ] {
            let mut other = whole.clone();
            *other.pointer_mut(&pointer(&path)).unwrap() = new;
            made.push((format!("{name} {shown}"), other));
        }
    }
    made
}

#[test]
fn schema_and_parser_agree_on_every_bent_file() {
    let checker = jsonschema::validator_for(&schema()).unwrap();
    let (node, findings) = load_with(FileId(0), WHOLE, MergeKeys::Keep);
    let whole = as_json(&node.unwrap());
    assert!(findings.is_empty() && checker.is_valid(&whole), "{findings:?}");
    let (mut loose, mut strict, mut count) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (what, file) in parts(&whole).iter().flat_map(|(part, about)| bent(part, about)) {
        let text = serde_json::to_string_pretty(&file).unwrap();
        let (node, _) = load_with(FileId(0), &text, MergeKeys::Keep);
        let (_, findings) = parse(&node.unwrap(), &text, FileId(0), Dialect::Tidegate);
        let shape = ["unknown-key", "wrong-type", "missing-key"];
        let errors = findings.iter().filter(|f| f.severity == Severity::Error);
        let first = errors.clone().find(|f| shape.contains(&f.rule)).map(|f| f.message.clone());
        let any = errors.clone().count() > 0;
        let valid = checker.is_valid(&file);
        count += 1;
        if valid && let Some(message) = first {
            loose.entry(what).or_insert(message);
        } else if !valid && !any {
            let error = checker.validate(&file).err().map(|e| e.instance_path().to_string());
            strict.entry(what).or_insert(error.unwrap_or_default());
        }
    }
    println!(
        "schema: {count} bent files, {} only the parser refuses, {} only the schema",
        loose.len(),
        strict.len()
    );
    let known =
        |table: &[(&str, &str)]| table.iter().map(|(what, _)| (*what).to_owned()).collect::<BTreeSet<_>>();
    let keys = |found: &BTreeMap<String, String>| found.keys().cloned().collect::<BTreeSet<_>>();
    assert!(count > 2000, "{count}");
    assert_eq!(keys(&loose), known(ONLY_PARSER), "only the parser refuses: {loose:#?}");
    assert_eq!(keys(&strict), known(ONLY_SCHEMA), "only the schema refuses: {strict:#?}");
}
