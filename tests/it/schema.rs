//! `schema/workflow.schema.json`: made by the code, and of one mind with the parser.

use crate::conformance_expressions::conformance;
use serde_json::Value;
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
