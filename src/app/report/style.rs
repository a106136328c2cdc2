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
