//! One checked file, and where its findings are in lines and columns.

use tidegate_lang::source::{Diagnostic, Severity, Sources, Span};

/// A file and what is wrong with it.
#[derive(Debug)]
pub struct CheckedFile {
    /// Its path as people know it.
    pub path: String,
    /// Its text and the texts of workflows it calls.
    pub sources: Sources,
    /// What is wrong, in the order of the file.
    pub findings: Vec<Diagnostic>,
}

/// A span in lines and columns, both from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: String,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
}

impl CheckedFile {
    /// Returns where a span of this file's sources is.
    pub fn place(&self, span: Span) -> Place {
        let path = self.sources.get(span.file).map_or_else(|| self.path.clone(), |s| s.path.to_string());
        let (line, column) = self.sources.line_column(span.file, span.start);
        let (end_line, end_column) = self.sources.line_column(span.file, span.end);
        Place { path, line, column, end_line, end_column }
    }
}

/// How much is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files looked at.
    pub files: usize,
    /// Files with a finding.
    pub affected: usize,
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Totals {
    /// Counts.
    pub fn of(files: &[CheckedFile]) -> Self {
        let mut totals = Self { files: files.len(), ..Self::default() };
        for file in files {
            totals.affected += usize::from(!file.findings.is_empty());
            let errors = file.findings.iter().filter(|d| d.severity == Severity::Error).count();
            totals.errors += errors;
            totals.warnings += file.findings.len() - errors;
        }
        totals
    }
}
