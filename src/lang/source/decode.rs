//! Bytes → text: a workflow file is UTF-8.

use super::{Diagnostic, FileId, Span};

/// Decodes a file's bytes. The finding's place counts in the lossy text, which is the same up to the
/// first byte that is wrong.
pub fn decode(file: FileId, bytes: &[u8]) -> Result<&str, Diagnostic> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let line = bytes.iter().take(at).filter(|b| **b == b'\n').count() + 1;
        let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let found = if wide { "it begins like UTF-16: " } else { "" };
        let message = format!("the file is not UTF-8: byte {at} in line {line} is not");
        let start = u32::try_from(at).unwrap_or(u32::MAX);
        // What is wrong is shown as U+FFFD, three bytes.
        let span = Span { file, start, end: start.saturating_add(3) };
        Diagnostic::error("yaml-encoding", span, message)
            .help(format!("{found}save it as UTF-8, without a byte order mark"))
    })
}
