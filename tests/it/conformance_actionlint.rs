//! actionlint's own cases: what must be refused is refused at a listed line, what is fine is not.
//!
//! Reads `../shared/conformance/rhysd+actionlint`, which is not part of the repository.

use crate::conformance_expressions::conformance;
use crate::harness::Project;
use serde_json::Value;
use std::collections::BTreeSet;

/// A line of `EXPECTED.tsv`.
struct Case {
    path: String,
    refuse: bool,
    lines: BTreeSet<u64>,
}

fn cases(table: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, tier, .., lines] = fields.as_slice() else { panic!("{line:?}") };
        let refuse = match *tier {
            "must-reject" => true,
            "accept" => false,
            _ => continue,
        };
        // `test.yaml:LINE:COLUMN: …`, or the same as a regular expression.
        let lines = lines
            .split("||")
            .filter_map(|l| l.split_once("yaml:").and_then(|(_, rest)| rest.split(':').next()?.parse().ok()))
            .collect();
        cases.push(Case { path: (*path).to_owned(), refuse, lines });
    }
    cases
}

#[test]
fn actionlint_cases() {
    let folder = conformance("rhysd+actionlint");
    let table = std::fs::read_to_string(folder.join("EXPECTED.tsv"))
        .unwrap_or_else(|e| panic!("{}: {e}: the conformance material is not there", folder.display()));
    let cases = cases(&table);
    let project = Project::new();
    let (mut refused, mut to_refuse, mut accepted, mut to_accept) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for case in &cases {
        let file = folder.join("testdata").join(&case.path);
        let done =
            project.tidegate(["check", "--dialect", "github", "--format", "json", &file.to_string_lossy()]);
        let found: Value =
            serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{}: {e}", case.path));
        let lines: BTreeSet<u64> = found["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|f| f["severity"] == "error")
            .filter_map(|f| f["line"].as_u64())
            .collect();
        let good = if case.refuse {
            to_refuse += 1;
            let good = done.code == Some(2) && !lines.is_disjoint(&case.lines);
            refused += usize::from(good);
            good
        } else {
            to_accept += 1;
            let good = done.code == Some(0);
            accepted += usize::from(good);
            good
        };
        if !good {
            wrong.push(format!("{}: expected {:?}, found {lines:?}", case.path, case.lines));
        }
    }
    println!(
        "actionlint: {refused} of {to_refuse} refused at a listed line, {accepted} of {to_accept} accepted"
    );
    for line in &wrong {
        println!("  {line}");
    }
    assert!(to_refuse > 0 && to_accept > 0, "no cases in {}", folder.display());
    assert_eq!(accepted, to_accept, "{wrong:#?}");
    assert!(refused * 100 >= to_refuse * 95, "{refused} of {to_refuse}: {wrong:#?}");
}
