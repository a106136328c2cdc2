//! What is wrong with a file: a value, never an error of the tool.
//!
//! Not here: how it is printed (`source::render`).

use super::Span;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
}

/// Which look at a file finds something. What a file's shape has wrong comes before what its words
/// mean, as in GitHub's own parser: a wrong shape makes the rest a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// YAML, keys, types and expressions.
    #[default]
    Shape,
    /// Ids, `needs`, schedules, calls: what the parts say about one another.
    Meaning,
    /// The rules of `check`.
    Rules,
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// The rule's id, which is also its anchor in `docs/rules.md`, such as `unknown-key`.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one sentence without a full stop, with the value in it.
    pub message: String,
    /// Where it is wrong.
    pub span: Span,
    /// What to say under the caret, if more than the caret is needed ("did you mean `metrics`?").
    pub label: Option<String>,
    /// Other places that belong to it ("first defined here").
    pub related: Vec<Label>,
    /// Lines of help below the picture: what to do instead.
    pub help: Vec<String>,
    /// A change that would mend it.
    pub fix: Option<Fix>,
    /// Which look found it.
    pub pass: Pass,
    /// The byte behind which it was found, where that is not its place: a key is missing only once
    /// the map has ended.
    pub found_at: Option<u32>,
}

/// Another place that belongs to a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// A change of text that mends a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// By what.
    pub text: String,
}

impl Diagnostic {
    /// Makes an error with nothing but its message and place.
    pub fn error(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            message: message.into(),
            span,
            label: None,
            related: Vec::new(),
            help: Vec::new(),
            fix: None,
            pass: Pass::Shape,
            found_at: None,
        }
    }

    /// Makes a warning with nothing but its message and place.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, span, message) }
    }

    /// Says which look found it.
    #[must_use]
    pub fn pass(mut self, pass: Pass) -> Self {
        self.pass = pass;
        self
    }

    /// Says behind which byte it was found.
    #[must_use]
    pub fn found_at(mut self, at: u32) -> Self {
        self.found_at = Some(at);
        self
    }

    /// Adds what stands under the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label { span, text: text.into() });
        self
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds a change that mends it.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, text: text.into() });
        self
    }
}

/// Puts findings into the order in which they are shown: by file, then by look, then as a reader
/// of the file meets them.
pub fn in_order(findings: &mut [Diagnostic]) {
    findings.sort_by_key(|d| (d.span.file, d.pass, d.found_at.unwrap_or(d.span.start), d.severity));
}
