//! Values and failing stages. Each row was first seen as a difference from GitHub's own package.

use super::answer;
use serde_json::{Value as Json, json};

fn eval(expr: &str) -> Json {
    let contexts = json!({
        "list": [1, "2", {"a": {"b": [1, 2]}}, {"A": 3}],
        "map": {"a": 1, "A": 2, "b": 3, "K": 4},
    });
    let answer = answer(&json!({"expr": expr, "contexts": contexts}).to_string());
    match answer.get("error") {
        Some(error) => json!(format!("{} error", error["kind"].as_str().unwrap())),
        None => answer["value"].clone(),
    }
}

#[test]
fn values() {
    for (expr, expected) in [
        // JSON as JavaScript reads it.
        ("fromJSON('1e400')", json!("Infinity")),
        ("toJSON(fromJSON('[1e400]'))", json!("[\n  null\n]")),
        ("fromJSON('0.1234567890123456789') == 0.12345678901234568", json!(true)),
        ("toJSON(fromJSON('{\"b\":1,\"a\":2,\"b\":3}'))", json!("{\n  \"b\": 3,\n  \"a\": 2\n}")),
        ("toJSON(fromJSON('{\"b\":1,\"B\":3}'))", json!("{\n  \"b\": 1\n}")),
        ("map.A", json!(1)),
        ("map['\u{212a}']", json!(4)),
        ("fromJSON('[1,]')", json!("evaluation error")),
        // Numbers.
        ("0xFFFFFFFFFFFFFFFFF1", json!(4_722_366_482_869_645_213_696.0)),
        ("'\u{85}1' == 1", json!(false)),
        ("'\u{feff}1' == 1", json!(true)),
        // Text: order by UTF-16 in upper case, `contains` in lower case.
        ("'\u{ffee}' < '😀'", json!(false)),
        ("'ß' == 'SS'", json!(true)),
        ("contains('ß', 'SS')", json!(false)),
        ("startsWith('straße', 'STRASS')", json!(true)),
        ("'it''s ''so'''", json!("it's 'so'")),
        // format: what follows the digits is not looked at.
        ("format('{0:x}{0001 }', 'a', 'b')", json!("ab")),
        ("format('{ 0}', 'a')", json!("evaluation error")),
        ("format('{1}', 'a')", json!("evaluation error")),
        // What `*` found stays a list of finds through `||`, `&&`, `case` and parentheses.
        ("toJSON((list.* || 1).a)", json!("[\n  {\n    \"b\": [\n      1,\n      2\n    ]\n  },\n  3\n]")),
        ("toJSON((true && list.*).a.b)", json!("[\n  [\n    1,\n    2\n  ]\n]")),
        ("toJSON(case(true, list.*, 1).a.b.*)", json!("[\n  1,\n  2\n]")),
        ("toJSON(list.a)", json!("null")),
        // Only the branch that is taken is evaluated.
        ("case(true, 1, fromJSON('x'))", json!(1)),
        // Nothing but blanks is null; other white space is no word.
        (" \t\r\n", Json::Null),
        ("\u{a0}", json!("lexing error")),
    ] {
        assert_eq!(eval(expr), expected, "{expr}");
    }
}

#[test]
fn a_function_takes_255_arguments() {
    let call = |n: usize| format!("format('x'{})", ", 1".repeat(n));
    assert_eq!(eval(&call(254)), json!("x"));
    assert_eq!(eval(&call(255)), json!("parsing error"));
}
