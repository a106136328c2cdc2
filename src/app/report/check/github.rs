//! Findings as workflow commands that GitHub shows as annotations on the changed lines.

use super::CheckedFile;
use std::fmt::Write as _;
use tidegate_lang::source::Severity;

/// Writes one workflow command a finding.
pub fn github(files: &[CheckedFile]) -> String {
    let mut out = String::new();
    for file in files {
        for diagnostic in &file.findings {
            let place = file.place(diagnostic.span);
            let command = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
            let mut text = diagnostic.message.clone();
            for line in diagnostic.label.iter().chain(&diagnostic.help) {
                text.push('\n');
                text.push_str(line);
            }
            let _ = writeln!(
                out,
                "::{command} file={},line={},endLine={},col={},endColumn={},title={}::{}",
                property(&place.path),
                place.line,
                place.end_line,
                place.column,
                place.end_column,
                property(diagnostic.rule),
                data(&text),
            );
        }
    }
    out
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn text_cannot_end_a_command() {
        assert_eq!(data("a%\nb"), "a%25%0Ab");
        assert_eq!(property("x,y:z"), "x%2Cy%3Az");
    }
}
