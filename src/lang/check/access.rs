//! Expressions as paths: `github.event.issue.title` is a context and its segments.

use crate::expr::{Expr, ExprKind, Part, Template};
use crate::source::{Node, NodeKind, Scalar, ScalarStyle, Sources, Span, place_in};
use crate::value::Value;
use std::sync::Arc;

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// `.name` or `['name']`.
    Name(Arc<str>),
    /// `.*`, `[0]` or an index that only evaluation knows.
    Any,
}

/// A context and the way into it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// The context's name as written.
    pub context: Arc<str>,
    /// The segments after it.
    pub segments: Vec<Segment>,
}

impl Access {
    /// Reads an expression as a path; `None` if it is anything else.
    pub fn of(expr: &Expr) -> Option<Self> {
        match &expr.kind {
            ExprKind::Context(name) => Some(Self { context: name.clone(), segments: Vec::new() }),
            ExprKind::Property(base, name) => Self::of(base).map(|a| a.then(Segment::Name(name.clone()))),
            ExprKind::Star(base) => Self::of(base).map(|a| a.then(Segment::Any)),
            ExprKind::Index(base, index) => Self::of(base).map(|a| match &index.kind {
                ExprKind::Literal(Value::String(name)) => a.then(Segment::Name(name.clone())),
                _ => a.then(Segment::Any),
            }),
            _ => None,
        }
    }

    fn then(mut self, segment: Segment) -> Self {
        self.segments.push(segment);
        self
    }

    /// Tells whether it reads the named context.
    pub fn is(&self, context: &str) -> bool {
        self.context.eq_ignore_ascii_case(context)
    }

    /// Returns it as it is written, near enough.
    pub fn spelled(&self) -> String {
        let mut text = self.context.to_string();
        for segment in &self.segments {
            match segment {
                Segment::Name(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Segment::Any => text.push_str(".*"),
            }
        }
        text
    }

    /// Returns the name at a depth, if it is one.
    pub fn name(&self, depth: usize) -> Option<&str> {
        match self.segments.get(depth) {
            Some(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }
}

/// Returns the expressions of a template with the place of their inside.
pub(super) fn expressions(template: &Template) -> impl Iterator<Item = (&Expr, Inside<'_>)> {
    template.expressions().map(move |(expr, at)| (expr, Inside { template, at }))
}

/// Returns the literal text of a template, without its expressions.
pub(super) fn literal_text(template: &Template) -> impl Iterator<Item = &str> {
    template.parts.iter().filter_map(|part| match part {
        Part::Literal(text) => Some(text.as_ref()),
        Part::Expr(..) => None,
    })
}

/// Where the inside of one `${{ }}` begins.
#[derive(Clone, Copy)]
pub(super) struct Inside<'a> {
    /// The template it belongs to.
    pub template: &'a Template,
    /// Byte of the template's text.
    pub at: u32,
}

impl Inside<'_> {
    /// Returns the place of a part of the expression in the file. Folded or escaped text has no
    /// exact inner places: there it is the whole value.
    pub fn place(self, expr: &Expr, sources: &Sources) -> Span {
        self.place_of(self.at.saturating_add(expr.start), self.at.saturating_add(expr.end), sources)
    }

    /// Returns the place of some bytes of the template's text.
    pub fn place_of(self, from: u32, to: u32, sources: &Sources) -> Span {
        let span = self.template.span;
        let Some(text) = sources.get(span.file).map(|s| s.text.as_ref()) else { return span };
        let wanted = self.template.raw.get(from as usize..to as usize);
        let written = sources.text(span);
        let block = written.starts_with(['|', '>']);
        let kind = NodeKind::Scalar(Scalar {
            text: self.template.raw.clone(),
            style: if block { ScalarStyle::Block } else { ScalarStyle::Quoted },
            text_start: if block {
                None
            } else {
                written.find(&*self.template.raw).map(|i| span.start + offset(i))
            },
        });
        let start = place_in(text, &Node { kind, span }, from);
        let place = Span { start, end: start.saturating_add(to.saturating_sub(from)), ..span };
        // Only a place that shows the very same text is believed.
        if wanted.is_some_and(|w| !w.is_empty() && sources.text(place) == w) { place } else { span }
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
