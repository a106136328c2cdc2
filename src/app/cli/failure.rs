//! A command that could not do its work: what happened, why, and what to do next.
//!
//! Not here: findings in a workflow file (`Diagnostic`) and what a run decided (`Conclusion`).

use super::Exit;
use std::error::Error;
use std::fmt::Write as _;

/// Whose fault it is; picks the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The file or the arguments are wrong (2).
    Wrong,
    /// The tool or its surroundings failed (4).
    Tool,
    /// Somebody wanted it to stop (5).
    Cancelled,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// Picks the exit code.
    pub kind: FailureKind,
    /// What happened, where, while doing what: one line, no full stop.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What to do next, a line each.
    pub hints: Vec<String>,
}

impl Failure {
    /// The file or the arguments are wrong.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Wrong, message)
    }

    /// The tool or its surroundings failed.
    pub fn tool(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Tool, message)
    }

    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds a cause and what caused it in turn.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            // Wrappers often repeat their source's words; say each thing once.
            if self.causes.last().is_none_or(|last| !last.ends_with(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a line that says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self.kind {
            FailureKind::Wrong => Exit::Wrong,
            FailureKind::Tool => Exit::Tool,
            FailureKind::Cancelled => Exit::Cancelled,
        }
    }

    /// Returns the lines that people read on standard error.
    pub fn render(&self, color: bool) -> String {
        let (red, bold, dim, off) =
            if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "", "") };
        let mut text = format!("{red}error{off}{bold}: {}{off}\n", self.message);
        for cause in &self.causes {
            let _ = writeln!(text, "  {dim}caused by:{off} {}", cause.replace('\n', "\n    "));
        }
        for hint in &self.hints {
            let _ = writeln!(text, "  {dim}help:{off} {hint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let cause = std::io::Error::other("connection refused");
        let failure = Failure::tool("cannot read .ml/config.yaml").caused_by(&cause).hint("does it exist?");
        assert_eq!(
            failure.render(false),
            "error: cannot read .ml/config.yaml\n  caused by: connection refused\n  help: does it exist?\n"
        );
        assert_eq!(failure.exit().code(), 4);
    }
}
