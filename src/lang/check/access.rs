//! Expressions as paths: `github.event.issue.title` is a context and its segments.

use crate::expr::{Expr, ExprKind, Part, Template};
use crate::source::Span;
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

    /// Returns the name at a depth, if it is one.
    pub fn name(&self, depth: usize) -> Option<&str> {
        match self.segments.get(depth) {
            Some(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }
}

/// Calls `visit` with an expression and all expressions in it, outermost first.
pub(super) fn walk<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    visit(expr);
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Context(_) => {}
        ExprKind::Property(base, _) | ExprKind::Star(base) | ExprKind::Not(base) => walk(base, visit),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
            walk(a, visit);
            walk(b, visit);
        }
        ExprKind::Call(_, arguments) => arguments.iter().for_each(|a| walk(a, visit)),
    }
}

/// Returns the expressions of a template with the place of their inside.
pub(super) fn expressions(template: &Template) -> impl Iterator<Item = (&Expr, Span)> {
    template.parts.iter().filter_map(|part| match part {
        Part::Expr(expr, span) => Some((expr.as_ref(), *span)),
        Part::Literal(_) => None,
    })
}

/// Returns the literal text of a template, without its expressions.
pub(super) fn literal_text(template: &Template) -> impl Iterator<Item = &str> {
    template.parts.iter().filter_map(|part| match part {
        Part::Literal(text) => Some(text.as_ref()),
        Part::Expr(..) => None,
    })
}

/// Returns the place of a part of an expression. Folded or escaped text has no exact inner
/// places: there it is the whole expression.
pub(super) fn place(inside: Span, expr: &Expr) -> Span {
    let start = inside.start.saturating_add(expr.start);
    let end = inside.start.saturating_add(expr.end);
    if start < end && end <= inside.end { Span { start, end, ..inside } } else { inside }
}
