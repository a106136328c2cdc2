//! What a step writes to its command files, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_flow::job::{parse_metrics, parse_pairs, parse_paths};

fuzz_target!(|bytes: &[u8]| {
    assert!(parse_pairs(bytes).taken.iter().all(|(name, _)| !name.is_empty()));
    assert!(parse_paths(bytes).iter().all(|path| !path.is_empty() && !path.contains('\n')));
    let _ = parse_metrics(bytes);
});
