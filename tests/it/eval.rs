//! `tidegate eval`: one expression for people, requests by line for programs.

use crate::harness::{Project, binary};
use std::io::Write as _;
use std::process::{Command, Stdio};

#[test]
fn an_expression_is_answered_for_people() {
    let project = Project::new().file("c.json", r#"{"github": {"ref": "refs/heads/main", "n": 3}}"#);
    project.tidegate(["eval", "1 < 2"]).code(0).stdout("true\n");
    project.tidegate(["eval", "-1"]).code(0).stdout("-1\n");
    project
        .tidegate(["eval", "format('{0}!', github.ref)", "--context", "c.json"])
        .code(0)
        .stdout("refs/heads/main!\n");
    project.tidegate(["eval", "a ${{ GITHUB.N }} b", "--context", "c.json"]).code(0).stdout("a 3 b\n");
    project.tidegate(["eval", "fromJSON('[1]')"]).code(0).stdout("[\n  1\n]\n");
}

#[test]
fn a_wrong_expression_is_shown_with_a_caret() {
    let project = Project::new().file("c.json", r#"{"github": {}}"#);
    let done = project.tidegate(["eval", "1 == gihub.x", "--context", "c.json"]).code(2);
    done.stderr("did you mean `github`?").stderr("1 == gihub.x").stderr("^^^^^");
    project.tidegate(["eval", "fromJSON('{')"]).code(2).stderr("error[expr-evaluation]");
    project.tidegate(["eval", "é ("]).code(2).stderr("error[expr-syntax]");
}

#[test]
fn a_wrong_context_file_ends_with_2() {
    let project = Project::new().file("list.json", "[1]").file("bad.json", "{");
    project.tidegate(["eval", "1", "--context", "none.json"]).code(2).stderr("cannot read none.json");
    project.tidegate(["eval", "1", "--context", "list.json"]).code(2).stderr("must hold a JSON object");
    project.tidegate(["eval", "1", "--context", "bad.json"]).code(2).stderr("bad.json is not JSON");
    project.tidegate(["eval"]).code(2);
    project.tidegate(["eval", "--format", "text"]).code(2).stderr("there is no expression");
}

#[test]
fn requests_are_answered_line_by_line() {
    let mut child = Command::new(binary())
        .args(["eval", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = concat!(
        r#"{"expr": "a.B", "contexts": {"A": {"b": 1.5}}}"#,
        "\n\n",
        r#"{"expr": "1 +"}"#,
        "\n",
        r#"{"expr": "nosuch.x"}"#,
        "\n",
        r#"{"expr": "NaN"}"#,
        "\nnot json\n",
    );
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let answers: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(answers[0], serde_json::json!({"kind": "Number", "value": 1.5}));
    assert_eq!(answers[1]["error"]["kind"], "lexing");
    assert_eq!(answers[2]["error"]["kind"], "parsing");
    assert_eq!(answers[3], serde_json::json!({"kind": "Number", "value": "NaN"}));
    assert_eq!(answers[4]["error"]["kind"], "request");
    assert_eq!((answers.len(), done.status.code()), (5, Some(0)));
}
