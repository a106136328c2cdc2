//! The parser against another project's, on generated expressions.

use super::parse;
use github_actions_expressions::Expr as Theirs;
use proptest::prelude::*;

/// Expressions both parsers should judge alike. Left out is what they are known to see differently:
/// functions that only one of them knows, and arguments of the wrong number.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("github".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("''".to_owned()),
        "[a-z_][a-z0-9_-]{0,6}".prop_filter("no keyword", |s| !matches!(&**s, "true" | "false" | "null")),
        "'[a-z ]{0,5}(''[a-z]{0,3})?'",
        "[1-9][0-9]{0,3}(\\.[0-9]{1,3})?",
        "0x[0-9a-f]{1,4}",
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "&&", "||"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.clone().prop_map(|a| format!("({a})")),
            (inner.clone(), "[a-z]{1,4}").prop_map(|(a, p)| format!("({a}).{p}")),
            "[a-z]{1,4}".prop_map(|p| format!("github.{p}.*")),
            inner.clone().prop_map(|a| format!("github[{a}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("contains({a}, {b})")),
            inner.prop_map(|a| format!("toJSON({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_one_takes_the_other_takes(text in expression()) {
        prop_assert_eq!(parse(&text).is_ok(), Theirs::parse(&text).is_ok(), "{}", text);
    }

    #[test]
    fn a_broken_word_breaks_both(text in expression(), at in any::<prop::sample::Index>(), bad in "[@#$;\"]") {
        let borders: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let mut broken = text.clone();
        broken.insert_str(*at.get(&borders), &bad);
        prop_assert_eq!(parse(&broken).is_ok(), Theirs::parse(&broken).is_ok(), "{}", broken);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}|[a-z0-9'.()\\[\\]!<>=&|*, \\t\\n+-]{0,60}") {
        let nobody = super::JsonContexts::new(&serde_json::json!({"github": {"a": [1, {"b": 2}]}}));
        if let Err(error) = super::evaluate_text(&text, &nobody) {
            prop_assert!(error.offset as usize <= text.len());
        }
        if let Ok(expr) = parse(&text) {
            prop_assert!(text.get(expr.start as usize..expr.end as usize).is_some());
        }
    }
}
