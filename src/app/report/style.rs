//! Colour, which never stands alone: always with a sign or a word.

use tidegate_flow::job::Conclusion;

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether escapes are written.
    pub color: bool,
}

impl Style {
    /// Green: it holds.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Red: it does not.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Yellow: again, or look here.
    pub fn again(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Dim: less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Bold: a name.
    pub fn name(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// The sign of a conclusion, in its colour.
    pub fn sign(self, conclusion: Conclusion) -> String {
        match conclusion {
            Conclusion::Success => self.good("✓"),
            Conclusion::Failure => self.bad("✗"),
            Conclusion::Cancelled => self.again("!"),
            Conclusion::Skipped => self.dim("–"),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns of a name; more of it says nothing more.
const NAME: usize = 100;

/// Makes text from a file one line that can be shown: what steers a terminal, ends a line or turns the
/// direction of writing is a space, and it is cut to so many columns.
pub fn one_line(text: &str, columns: usize) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    cut(text.replace(steers, " ").trim(), columns)
}

/// The same for a name.
pub fn shown_name(name: &str) -> String {
    one_line(name, NAME)
}

/// Cuts a line, which may have colours, to so many columns.
pub fn cut(line: &str, columns: usize) -> String {
    let mut made = String::with_capacity(line.len());
    let (mut used, mut chars, mut painted) = (0, line.chars(), false);
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            made.push(c);
            for c in chars.by_ref() {
                made.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            painted = !made.ends_with("\x1b[0m");
            continue;
        }
        // Wide letters take two columns.
        let width = if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
        {
            2
        } else {
            1
        };
        if used + width > columns.saturating_sub(1) && !chars.as_str().is_empty() {
            made.push('…');
            break;
        }
        used += width;
        made.push(c);
    }
    if painted {
        made.push_str("\x1b[0m");
    }
    made
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn lines_are_cut_to_columns_with_their_colours_closed() {
        let table = [
            ("short", 10, "short"),
            ("exactly ten", 8, "exactly…"),
            ("\x1b[32mgreen\x1b[0m grass", 20, "\x1b[32mgreen\x1b[0m grass"),
            ("\x1b[32mgreen grass\x1b[0m", 4, "\x1b[32mgre…\x1b[0m"),
            ("漢字漢字", 5, "漢字…"),
            ("", 3, ""),
        ];
        for (line, columns, wanted) in table {
            assert_eq!(cut(line, columns), wanted, "{line:?}");
        }
    }
}
