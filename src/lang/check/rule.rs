//! What a rule is: a name, how much it weighs in each dialect, and a function.

use super::Facts;
use crate::source::{Diagnostic, Pass, Severity};
use crate::workflow::Dialect;

/// How a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The file is refused in both dialects.
    Error,
    /// Refused in Tidegate's dialect; in GitHub's a warning, because GitHub takes such a file.
    Tidegate,
    /// Never refused.
    Warning,
}

/// One rule.
pub struct Rule {
    /// Its id: file name with dashes, and anchor in `docs/rules.md`.
    pub id: &'static str,
    /// How its findings count.
    pub level: Level,
    /// What it finds, in one line.
    pub about: &'static str,
    /// Looks at one workflow. Severities are set by the caller from `level`, except that a
    /// finding made as a warning stays one.
    pub(super) check: fn(&Facts<'_>) -> Vec<Diagnostic>,
}

impl Rule {
    /// Runs the rule and gives each finding the severity of the dialect.
    pub(super) fn run(&self, facts: &Facts<'_>) -> Vec<Diagnostic> {
        let mut found = (self.check)(facts);
        let severity = match (self.level, facts.workflow.dialect) {
            (Level::Error, _) | (Level::Tidegate, Dialect::Tidegate) => Severity::Error,
            _ => Severity::Warning,
        };
        for diagnostic in &mut found {
            diagnostic.severity = diagnostic.severity.max(severity);
            diagnostic.pass = Pass::Rules;
        }
        found
    }
}
