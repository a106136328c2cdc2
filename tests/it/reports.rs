//! Files about a run: JUnit for CI tools, a Markdown summary, and events as JSON.

use crate::harness::Project;
use serde_json::Value as Json;
use std::process::Command;

const WORKFLOW: &str = r####"
name: report <&> "test"
on: workflow_dispatch
jobs:
  fit:
    strategy: { fail-fast: false, matrix: { c: [1, 2, 3] } }
    steps:
      - name: train
        run: |
          echo '```training ${{ matrix.c }} <&>'
          echo '{"acc": 0.${{ matrix.c }}}' > m.json
          echo "### note of ${{ matrix.c }}" >> "$GITHUB_STEP_SUMMARY"
          exit ${{ matrix.c == 2 && 7 || 0 }}
    metrics: { files: m.json, goals: { acc: max } }
  judge:
    needs: fit
    if: always()
    steps:
      - run: echo '{"acc":0.5}' > m.json
      - gate: { metrics: { acc: { min: 0.9 } } }
    metrics: m.json
  after:
    needs: judge
    steps: [{ run: echo done }]
"####;

/// What `junit-10.xsd` of Jenkins allows: element, its attributes, its children.
const JUNIT: &str = r#"
import sys, xml.etree.ElementTree as E
allowed = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "group", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url", "version"}, {"properties", "testcase", "system-out", "system-err"}),
    "testcase": ({"name", "assertions", "time", "timestamp", "classname", "status", "class", "file", "line", "log", "group", "url"}, {"skipped", "error", "failure", "rerunFailure", "flakyFailure", "system-out", "system-err"}),
    "failure": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
}
root = E.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites"
def walk(e):
    attributes, children = allowed[e.tag]
    assert set(e.attrib) <= attributes, (e.tag, e.attrib)
    assert "name" in e.attrib or e.tag in ("failure", "skipped"), e.tag
    for c in e:
        assert c.tag in children, (e.tag, c.tag)
        walk(c)
walk(root)
count = lambda tag, of: len(list(of.iter(tag)))
for suite in root:
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        assert int(suite.get(attribute)) == count(tag, suite), (suite.get("name"), attribute)
    float(suite.get("time"))
assert int(root.get("tests")) == count("testcase", root) and int(root.get("failures")) == count("failure", root)
for case in root.iter("testcase"):
    for c in case:
        print(case.get("name"), c.tag, c.get("type"), c.get("message"), (c.text or "").replace("\n", " / "))
"#;

#[test]
fn junit_is_what_ci_tools_read() {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["run", "--junit", "junit.xml"]).code(1);
    let read = Command::new("python3").args(["-c", JUNIT, "junit.xml"]).current_dir(project.path()).output();
    let read = read.unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).unwrap();
    assert!(text.contains("fit (2) failure failure exit 7 ```training 2 <&>"), "{text}");
    assert!(text.contains("judge failure gate stopped by a gate: acc is 0.5"), "{text}");
    assert!(text.contains("after skipped None skipped: judge failed"), "{text}");
}

#[test]
fn the_summary_is_markdown_with_metrics_gates_and_last_lines() {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["run", "--summary", "summary.md"]).code(1);
    let text = std::fs::read_to_string(project.path().join("summary.md")).unwrap();
    assert!(text.starts_with("## report &lt;&> \"test\" · run 1\n\nfailed in "), "{text}");
    // The best row of the matrix first.
    let best = text.find("| fit (3) | ✓ passed |").unwrap();
    assert!(best < text.find("| fit (1) | ✓ passed |").unwrap(), "{text}");
    assert!(text.contains("| after | – skipped: judge failed |"), "{text}");
    assert!(
        text.contains("**judge**: stopped by a gate\n\n```text\nacc 0.5 < 0.9 (min)   short by 0.4\n```"),
        "{text}"
    );
    // More backticks around than inside.
    assert!(text.contains("**fit (2)**: failure: exit 7\n\n````text\n```training 2 <&>\n````"), "{text}");
    assert!(text.contains("`tidegate runs logs 1 fit --matrix c=2`"), "{text}");
    assert!(text.contains("### fit (3)\n\n### note of 3"), "{text}");
    let columns = |line: &str| line.matches(" |").count();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])), "{text}");
}

/// The shape that docs/json.md documents.
#[test]
fn events_have_a_time_and_one_kind() {
    let project = Project::workflow(WORKFLOW);
    let done = project.tidegate(["run", "--format", "json"]).code(1);
    let docs = include_str!("../../docs/json.md");
    let mut last = 0;
    for line in done.stdout.lines() {
        let event: Json = serde_json::from_str(line).unwrap();
        let at = event["at"].as_i64().unwrap();
        assert!(at >= last, "{line}");
        last = at;
        let kinds = event["kind"].as_object().unwrap();
        assert_eq!(kinds.len(), 1, "{line}");
        let kind = kinds.keys().next().unwrap();
        assert!(docs.contains(&format!("`{kind}`")), "docs/json.md has no `{kind}`");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told() {
    let project = Project::workflow(WORKFLOW);
    project
        .tidegate(["run", "--junit", "nowhere/junit.xml"])
        .code(4)
        .stderr("cannot write nowhere/junit.xml");
}
