//! Any text as an expression and as a template: parsed, its paths read, evaluated; and what is
//! taken as an expression, against another project's parser.
#![no_main]

use github_actions_expressions::Expr as Theirs;
use libfuzzer_sys::fuzz_target;
use tidegate_lang::expr::{JsonContexts, Template, evaluate_text, parse, reads};
use tidegate_lang::source::Span;

fuzz_target!(|text: &str| {
    let contexts = JsonContexts::new(&serde_json::json!({
        "github": {"ref": "refs/heads/main", "event": {"list": [1, "2", null, {"a": [true]}]}},
        "needs": {"a": {"instances": [{"result": "success", "metrics": {"m": 1}}]}},
    }));
    if let Ok(expr) = parse(text) {
        assert!(text.get(expr.start as usize..expr.end as usize).is_some());
        for read in reads(&expr) {
            assert!(text.get(read.start as usize..read.end as usize).is_some());
        }
    }
    if comparable(text) {
        assert_eq!(parse(text).is_ok(), Theirs::parse(text).is_ok(), "one parser takes it, the other does not");
    }
    if let Err(error) = evaluate_text(text, &contexts) {
        assert!(error.offset as usize <= text.len());
    }
    for template in [
        Template::parse(&text.into(), Span::default(), &contexts),
        Template::condition(&text.into(), Span::default(), &contexts),
    ] {
        if let Ok(template) = template {
            let _ = template.evaluate(&contexts);
        }
    }
});

/// Tells whether both parsers should judge alike. Theirs has no limit of depth, knows fewer kinds
/// of numbers, and checks calls by a list of its own.
fn comparable(text: &str) -> bool {
    let bytes = text.as_bytes();
    let call = |at: usize| {
        let before = text.get(..at).unwrap_or_default().trim_end();
        before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    text.len() < 100
        && bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
        && !bytes.iter().any(u8::is_ascii_digit)
        && !bytes.iter().enumerate().any(|(at, b)| *b == b'(' && call(at))
}
