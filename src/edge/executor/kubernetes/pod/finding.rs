//! What is wrong with a pod template, with its places.

use std::fmt;
use tidegate_lang::source::{Diagnostic, Node, NodeKind, Sources, Span, Style, render};

/// Findings in a template.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The template's text.
    pub sources: Sources,
    /// What is wrong.
    pub findings: Vec<Diagnostic>,
}

impl Findings {
    /// Shows each with its line and a caret.
    pub fn shown(&self, style: Style) -> String {
        render(&self.sources, &self.findings, style)
    }
}

/// One line: the first with its place, and how many more there are.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.findings.first() else { return write!(f, "the pod template is wrong") };
        let (line, column) = self.sources.line_column(first.span.file, first.span.start);
        let path = self.sources.get(first.span.file).map(|s| s.path.to_string()).unwrap_or_default();
        write!(f, "{path}:{line}:{column}: {}", first.message)?;
        match self.findings.len() {
            0 | 1 => Ok(()),
            more => write!(f, " (and {} more)", more - 1),
        }
    }
}

/// A finding in a template.
pub(super) fn finding(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("pod-template", span, message)
}

/// One step on the way to a place in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A member.
    Key(String),
    /// An item of a list whose items have a key.
    Item {
        /// The key, such as `name`.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// An item of any other list.
    Index(usize),
}

/// A place in a pod as people write it: `spec.containers[steps].image`.
pub(super) fn written(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Segment::Item { value, .. } => text.push_str(&format!("[{value}]")),
            Segment::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Finds where a template says what is at a place in the pod: as deep as it is written there.
/// `None`: the template does not speak of it.
pub(super) fn place(root: &Node, path: &[Segment]) -> Option<Span> {
    let mut at = root;
    let mut span = None;
    for segment in path {
        let found = match (segment, &at.kind) {
            (Segment::Key(key), NodeKind::Mapping(entries)) => {
                let entry = entries.iter().find(|e| *e.key == **key);
                entry.map(|e| (e.key_span, &e.value))
            }
            (Segment::Item { key, value }, NodeKind::Sequence(items)) => items
                .iter()
                .find(|item| member(item, key).as_deref() == Some(value))
                .map(|item| (item.span, item)),
            // Items of such lists are those of the template first, or in its own order.
            (Segment::Index(index), NodeKind::Sequence(items)) => {
                items.get(*index).map(|item| (item.span, item))
            }
            _ => None,
        };
        let Some((there, next)) = found else { break };
        span = Some(there);
        at = next;
    }
    match &at.kind {
        NodeKind::Scalar(_) if span.is_some() => Some(at.span),
        _ => span,
    }
}

fn member(item: &Node, key: &str) -> Option<String> {
    let NodeKind::Mapping(entries) = &item.kind else { return None };
    let entry = entries.iter().find(|e| *e.key == *key)?;
    match &entry.value.kind {
        NodeKind::Scalar(scalar) => Some(scalar.text.to_string()),
        _ => None,
    }
}
