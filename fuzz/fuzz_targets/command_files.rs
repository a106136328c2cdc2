//! What a step writes to its command files, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_flow::job::{parse_metrics, parse_pairs, parse_paths};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pairs) = parse_pairs(bytes) {
        assert!(pairs.iter().all(|(name, _)| !name.is_empty()));
    }
    if let Ok(paths) = parse_paths(bytes) {
        assert!(paths.iter().all(|path| !path.is_empty() && !path.contains('\n')));
    }
    let _ = parse_metrics(bytes);
});
