//! A masked stream, cut anywhere: the first line is a secret, the rest is output in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_flow::job::{MaskStream, Masks};

fuzz_target!(|text: &str| {
    let Some((secret, output)) = text.split_once('\n') else { return };
    let masks = Masks::new([secret]);
    let mut whole = Vec::new();
    let mut stream = MaskStream::new(&masks);
    stream.push(output.as_bytes(), &mut whole);
    stream.finish(&mut whole);
    let mut pieces = Vec::new();
    let mut stream = MaskStream::new(&masks);
    for (at, byte) in output.bytes().enumerate() {
        stream.push(&[byte], &mut pieces);
        assert!(pieces.len() <= 3 * (at + 1));
    }
    stream.finish(&mut pieces);
    assert_eq!(whole, pieces);
    // A secret with `*` in it may be made anew by the mask itself.
    if secret.chars().any(|c| !c.is_whitespace()) && !secret.contains('*') {
        assert!(!String::from_utf8_lossy(&whole).contains(secret));
    }
});
