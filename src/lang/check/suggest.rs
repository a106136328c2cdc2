//! "Did you mean": the nearest of the names that exist.

use crate::expr::closest;
use crate::source::{Diagnostic, Fix, Sources, Span};
use std::fmt::Write as _;

/// Returns the candidate nearest to a name, if it is near enough to be a slip of the pen.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(name, candidates.into_iter())
}

/// Lists names for a line of help: `` `a`, `b` ``, shortened when there are many.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(12).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if all.len() > 12 {
        let _ = write!(text, " and {} more", all.len() - 12);
    }
    text
}

/// Turns each "did you mean" into a change of text, where the place shows the word that was meant.
pub fn mend(findings: &mut [Diagnostic], sources: &Sources) {
    for finding in findings.iter_mut().filter(|f| f.fix.is_none()) {
        let said =
            finding.label.as_deref().filter(|l| l.contains("did you mean")).unwrap_or(&finding.message);
        let near = said.split_once("did you mean `").and_then(|(_, rest)| rest.split_once('`'));
        let Some(near) = near.map(|(near, _)| near.to_owned()) else { continue };
        if let Some(span) = slip(sources.text(finding.span), &near, finding.span) {
            finding.fix = Some(Fix { span, text: near });
        }
    }
}

/// Returns the one word of a text that is nearly the wanted one.
fn slip(text: &str, near: &str, span: Span) -> Option<Span> {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    let mut found = None;
    let mut at = 0;
    for word in text.split(|c| !inner(c)) {
        if word != near && !word.is_empty() && closest(word, std::iter::once(near)).is_some() {
            let start = span.start.checked_add(u32::try_from(at).ok()?)?;
            let end = start.checked_add(u32::try_from(word.len()).ok()?)?;
            if found.replace(Span { start, end, ..span }).is_some() {
                return None;
            }
        }
        at +=
            word.len() + text.get(at + word.len()..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{list, mend, nearest};
    use crate::source::{Diagnostic, Sources, Span};

    #[test]
    fn finds_slips_and_leaves_strangers() {
        assert_eq!(nearest("metric", ["metrics", "matrix"]), Some("metrics"));
        assert_eq!(nearest("Prepar", ["prepare", "train"]), Some("prepare"));
        assert_eq!(nearest("xyz", ["prepare", "train"]), None);
    }

    #[test]
    fn a_slip_is_mended_where_it_stands() {
        let mut sources = Sources::default();
        let text = "x: needs.prepare.outputs.modle y";
        let file = sources.add("a.yml", text);
        let place = |word: &str| {
            let start = u32::try_from(text.find(word).unwrap()).unwrap();
            Span { file, start, end: start + u32::try_from(word.len()).unwrap() }
        };
        let whole = place("needs.prepare.outputs.modle");
        let mut findings = [
            Diagnostic::error("a", whole, "no").label("did you mean `model`?"),
            Diagnostic::error("a", whole, "there is none; did you mean `prepared`?"),
            Diagnostic::error("a", whole, "no").label("did you mean `somewhere`?"),
        ];
        mend(&mut findings, &sources);
        let fixes: Vec<_> = findings.iter().map(|f| f.fix.as_ref().map(|f| f.span)).collect();
        assert_eq!(fixes, [Some(place("modle")), Some(place("prepare")), None]);
    }

    #[test]
    fn shortens_long_lists() {
        assert_eq!(list(["a", "b"]), "`a`, `b`");
        assert!(list(["x"; 15]).ends_with("and 3 more"));
    }
}
