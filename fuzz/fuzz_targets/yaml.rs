//! Any bytes as a workflow file: decoded, read with both kinds of merge keys, and every finding and
//! every place drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_lang::source::{
    Diagnostic, MergeKeys, Node, NodeKind, Sources, Style, decode, load_with, place_in, render,
};

fuzz_target!(|bytes: &[u8]| {
    let mut sources = Sources::default();
    let file = sources.add("fuzz.yml", String::from_utf8_lossy(bytes).into_owned());
    let Ok(text) = decode(file, bytes) else { return };
    for merge in [MergeKeys::Apply, MergeKeys::Keep] {
        let (root, findings) = load_with(file, text, merge);
        assert!(root.is_some() || !findings.is_empty(), "nothing was read and nothing was said");
        render(&sources, &findings[..findings.len().min(20)], Style::default());
        if let Some(root) = root {
            visit(text, &root, &sources, &mut 200);
        }
    }
});

/// Every place lies inside the text, on the borders of characters, and can be drawn.
fn visit(text: &str, node: &Node, sources: &Sources, drawn: &mut usize) {
    let span = node.span;
    assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?}");
    if *drawn > 0 {
        *drawn -= 1;
        render(sources, &[Diagnostic::error("fuzz", span, "here")], Style::default());
    }
    match &node.kind {
        NodeKind::Scalar(scalar) => {
            for (at, _) in scalar.text.char_indices().take(50) {
                let place = place_in(text, node, u32::try_from(at).unwrap_or(u32::MAX));
                assert!(place as usize <= text.len());
            }
        }
        NodeKind::Sequence(items) => items.iter().for_each(|i| visit(text, i, sources, drawn)),
        NodeKind::Mapping(entries) => {
            for entry in entries {
                let key = entry.key_span;
                assert!(text.get(key.start as usize..key.end as usize).is_some(), "{key:?}");
                visit(text, &entry.value, sources, drawn);
            }
        }
    }
}
