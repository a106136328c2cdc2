//! Findings as people read them: the line, a caret, what to do.
//!
//! Not here: the other formats (JSON, SARIF, annotations), which need no picture.

use super::{Diagnostic, FileId, Severity, Source, Sources, Span};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::ops::Range;

/// How pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether terminal colours are used; meaning never hangs on them.
    pub color: bool,
    /// How many columns the terminal has.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 100 }
    }
}

/// Lines longer than this are not drawn whole: a picture of a megabyte helps nobody.
const LONGEST_LINE: usize = 2000;

/// Draws all findings, a blank line between them and a line break at the end.
pub fn render(sources: &Sources, diagnostics: &[Diagnostic], style: Style) -> String {
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(style.width.max(40));
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&one(sources, diagnostic, &renderer));
        out.push('\n');
    }
    out
}

fn one(sources: &Sources, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = visible(&diagnostic.message);
    let mut group = Group::with_title(level.primary_title(message).id(diagnostic.rule));
    let mut places = vec![(diagnostic.span, diagnostic.label.as_deref(), AnnotationKind::Primary)];
    let related = diagnostic.related.iter();
    places.extend(related.map(|l| (l.span, Some(l.text.as_str()), AnnotationKind::Context)));
    let mut files: Vec<FileId> = Vec::new();
    for (span, ..) in &places {
        if !files.contains(&span.file) {
            files.push(span.file);
        }
    }
    let mut cut = None;
    for file in files {
        let Some(source) = sources.get(file) else { continue };
        let here = places.iter().filter(|(span, ..)| span.file == file);
        let (snippet, without) = picture(source, here.copied());
        if file == diagnostic.span.file && without > 0 {
            cut = Some((source, without));
        }
        group = group.element(snippet);
    }
    for line in &diagnostic.help {
        let level = if line.starts_with("here: ") { Level::NOTE.no_name() } else { Level::HELP };
        group = group.element(level.message(visible(line)));
    }
    if let (Some(fix), None) = (&diagnostic.fix, &diagnostic.label) {
        group = group.element(Level::HELP.message(format!("write `{}`", visible(&fix.text))));
    }
    let drawn = renderer.render(&[group]);
    let Some((source, without)) = cut else { return drawn };
    // The drawing counts columns from where its text begins, and that was cut.
    let path = visible(&source.path);
    let (line, column) = sources.line_column(diagnostic.span.file, diagnostic.span.start);
    let shown = format!("{path}:{line}:{}", column.saturating_sub(without));
    drawn.replacen(&shown, &format!("{path}:{line}:{column}"), 1)
}

type Place<'a> = (Span, Option<&'a str>, AnnotationKind);

/// Draws the places of one file. Only the lines from the first to the last of them are handed on:
/// the drawing costs what is shown, not what the file has. Returns, too, how many characters of the
/// first line are left out.
fn picture<'a>(
    source: &'a Source,
    places: impl Iterator<Item = Place<'a>>,
) -> (Snippet<'a, Annotation<'a>>, usize) {
    let text = source.text.as_ref();
    let mut annotations: Vec<(Range<usize>, Place<'a>)> =
        places.map(|place| (clamped(text, place.0), place)).collect();
    let first = annotations.iter().map(|(r, _)| r.start).min().unwrap_or(0);
    let last = annotations.iter().map(|(r, _)| r.end).max().unwrap_or(0);
    let start = line_start(text, first);
    let end = text.get(last..).and_then(|t| t.find('\n')).map_or(text.len(), |i| last + i);
    let (start, end) = near(text, start..end, first..last);
    for (range, _) in &mut annotations {
        *range = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
    }
    let line = text.get(..start).unwrap_or_default().bytes().filter(|b| *b == b'\n').count() + 1;
    let without = text.get(line_start(text, start)..start).unwrap_or_default().chars().count();
    let shown = text.get(start..end).unwrap_or_default();
    // A carriage return before the line break is no character that a reader wrote.
    let shown = if shown.contains('\r') {
        Cow::Owned(shown.replace("\r\n", " \n").trim_end_matches('\r').to_owned())
    } else {
        Cow::Borrowed(shown)
    };
    let longest = shown.len();
    for (range, _) in &mut annotations {
        *range = range.start.min(longest)..range.end.min(longest);
    }
    let snippet = Snippet::source(shown).path(visible(&source.path)).line_start(line).annotations(
        annotations.into_iter().map(|(range, (_, label, kind))| {
            let annotation = kind.span(range);
            match label {
                Some(label) => annotation.label(visible(label)),
                None => annotation,
            }
        }),
    );
    (snippet, without)
}

/// Keeps a window around the places where a line is too long to be drawn.
fn near(text: &str, whole: Range<usize>, places: Range<usize>) -> (usize, usize) {
    let longest = text.get(whole.clone()).unwrap_or_default().lines().map(str::len).max();
    if longest.is_none_or(|l| l <= LONGEST_LINE) {
        return (whole.start, whole.end);
    }
    let start = border(text, places.start.saturating_sub(LONGEST_LINE / 4).max(whole.start));
    let end = border(text, places.end.min(places.start + LONGEST_LINE) + LONGEST_LINE / 4);
    (start, end.min(whole.end).max(start))
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1)
}

/// Moves a byte back to the border of a character inside the text.
fn border(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Brings a span inside the text; a line break at its end, which has no column of its own, is cut.
fn clamped(text: &str, span: Span) -> Range<usize> {
    let start = border(text, span.start as usize);
    let end = border(text, (span.end as usize).max(start));
    let marked = text.get(start..end).unwrap_or_default();
    start..start + marked.trim_end_matches(['\n', '\r']).len()
}

/// Writes characters that would move the cursor or change colours as escapes.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add(".ml/workflows/digits.yml", text);
        (sources, file)
    }

    #[test]
    fn a_finding_shows_line_caret_label_and_help() {
        let (sources, file) = sources("jobs:\n  a:\n    if: ${{ metric.x }}\n");
        let span = Span { file, start: 23, end: 29 };
        let diagnostic = Diagnostic::error("expr-unknown-context", span, "there is no context `metric` here")
            .label("did you mean `metrics`?")
            .help("here: env github metrics")
            .help("see the documentation");
        insta::assert_snapshot!(render(&sources, &[diagnostic], Style::default()), @r"
        error[expr-unknown-context]: there is no context `metric` here
         --> .ml/workflows/digits.yml:3:13
          |
        3 |     if: ${{ metric.x }}
          |             ^^^^^^ did you mean `metrics`?
          |
          = here: env github metrics
          = help: see the documentation
        ");
    }

    #[test]
    fn related_places_far_away_are_folded() {
        let text = format!("a: 1\n{}a: 2\n", "b: 3\n".repeat(30));
        let (sources, file) = sources(&text);
        let at = u32::try_from(text.len()).unwrap_or(0) - 5;
        let diagnostic =
            Diagnostic::error("duplicate-key", Span { file, start: at, end: at + 1 }, "`a` twice")
                .label("again here")
                .related(Span { file, start: 0, end: 1 }, "first here");
        insta::assert_snapshot!(render(&sources, &[diagnostic], Style::default()), @r"
        error[duplicate-key]: `a` twice
          --> .ml/workflows/digits.yml:32:1
           |
         1 | a: 1
           | - first here
        ...
        32 | a: 2
           | ^ again here
        ");
    }

    #[test]
    fn hostile_texts_and_places_draw_something() {
        for text in ["", "\n", "é", "\u{1b}[31mx\r\n\ty", &"long ".repeat(100_000), "\u{feff}a", "a\u{0}b"] {
            let (sources, file) = sources(text);
            for (start, end) in [(0, 0), (0, 1), (1, 1), (2, 1), (0, u32::MAX), (u32::MAX, u32::MAX), (3, 9)]
            {
                let diagnostic = Diagnostic::warning("x", Span { file, start, end }, "m\u{1b}[0m");
                let shown = render(&sources, &[diagnostic], Style::default());
                assert!(shown.starts_with("warning[x]: m"), "{shown}");
                assert!(!shown.contains('\u{1b}'), "{shown:?}");
                assert!(shown.len() < 20_000);
            }
        }
    }

    #[test]
    fn a_place_of_no_file_still_says_what_is_wrong() {
        let span = Span { file: FileId(9), start: 0, end: 1 };
        let shown = render(&Sources::default(), &[Diagnostic::error("x", span, "m")], Style::default());
        assert_eq!(shown, "error[x]: m\n");
    }
}
