//! Any text as an expression and as a template: parsed, its paths read, evaluated.
#![no_main]

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
