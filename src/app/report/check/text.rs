//! Findings for people: pictures with carets, and one line that counts them.

use super::{CheckedFile, Totals};
use tidegate_lang::source::{Style, render};

/// Draws all findings and the count.
pub fn text(files: &[CheckedFile], style: Style) -> String {
    let mut out = String::new();
    for file in files.iter().filter(|f| !f.findings.is_empty()) {
        out.push_str(&render(&file.sources, &file.findings, style));
        out.push('\n');
    }
    out.push_str(&summary(Totals::of(files)));
    out.push('\n');
    out
}

/// Says how much is wrong: `2 errors in 1 of 3 files`.
fn summary(totals: Totals) -> String {
    let count = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let what = match (totals.errors, totals.warnings) {
        (0, 0) => return format!("nothing wrong in {}", count(totals.files, "file")),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    };
    if totals.files == 1 {
        format!("{what} in 1 file")
    } else {
        format!("{what} in {} of {}", totals.affected, count(totals.files, "file"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Totals, summary};

    #[test]
    fn counts_in_words() {
        let totals = |files, affected, errors, warnings| Totals { files, affected, errors, warnings };
        assert_eq!(summary(totals(3, 1, 2, 0)), "2 errors in 1 of 3 files");
        assert_eq!(summary(totals(1, 1, 1, 1)), "1 error and 1 warning in 1 file");
        assert_eq!(summary(totals(2, 0, 0, 0)), "nothing wrong in 2 files");
    }
}
