//! GitHub's own expression cases: value and kind, or the stage that fails.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Where outside test data lie; a missing folder fails the test that wants it.
pub fn conformance(part: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance").join(part);
    assert!(path.exists(), "conformance data are missing: {} (see docs/conformance.md)", path.display());
    path
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => expected == found,
    }
}

#[test]
fn github_expression_cases() {
    let dir = conformance("actions+languageservices/expressions/testdata");
    let (mut passed, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let groups: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (group, cases) in groups.as_object().unwrap() {
            for case in cases.as_array().unwrap() {
                let line =
                    json!({ "expr": case["expr"], "contexts": case.get("contexts").unwrap_or(&json!({})) });
                let answer = tidegate_lang::expr::answer(&line.to_string());
                let ok = match case.get("err") {
                    Some(err) => answer["error"]["kind"] == err["kind"],
                    None => {
                        answer["kind"] == case["result"]["kind"]
                            && same(&case["result"]["value"], &answer["value"])
                    }
                };
                if ok {
                    passed += 1;
                } else {
                    wrong.push(format!(
                        "{} {group}: {case}\n    → {answer}",
                        path.file_name().unwrap().display()
                    ));
                }
            }
        }
    }
    println!("expressions: {passed} of {} cases", passed + wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 600, "only {passed} cases were found");
}
