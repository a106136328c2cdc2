//! What is known before anything runs: which expressions can be evaluated, and what a condition
//! gives in spite of parts that cannot.

use super::Contexts;
use std::collections::BTreeSet;
use tidegate_lang::expr::{BinaryOp, Expr, ExprKind, Part, Template, evaluate};
use tidegate_lang::value::Value;

/// Contexts with what of them is known.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    /// Known values.
    pub(super) contexts: &'a Contexts,
    /// Jobs whose place in `needs` is known, in lower case.
    pub(super) needs: &'a BTreeSet<String>,
}

/// What a condition gives.
pub(super) enum Truth<'e> {
    /// True for sure.
    Yes,
    /// False for sure, because of this part.
    No(&'e Expr),
    /// It depends on what is not known.
    Open,
}

impl Known<'_> {
    /// Tells whether a template can be evaluated.
    pub(super) fn template(&self, template: &Template) -> bool {
        template.expressions().all(|(expr, _)| self.expr(expr))
    }

    /// Tells whether an expression can be evaluated.
    pub(super) fn expr(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Context(name) => self.whole(name),
            ExprKind::Property(of, name) => match &of.kind {
                ExprKind::Context(context) if context.eq_ignore_ascii_case("needs") => {
                    self.needs.contains(&name.to_lowercase())
                }
                ExprKind::Context(context) if context.eq_ignore_ascii_case("data") => self.source(name),
                _ => self.expr(of),
            },
            ExprKind::Index(of, index) => self.expr(of) && self.expr(index),
            ExprKind::Star(of) | ExprKind::Not(of) => self.expr(of),
            // The other side is not read where this one decides.
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => {
                self.expr(a)
                    && (self.expr(b)
                        || evaluate(a, self.contexts)
                            .is_ok_and(|value| value.truthy() == matches!(op, BinaryOp::Or)))
            }
            ExprKind::Binary(_, a, b) => self.expr(a) && self.expr(b),
            ExprKind::Call(name, _) if name.eq_ignore_ascii_case("hashFiles") => false,
            ExprKind::Call(_, arguments) => arguments.iter().all(|argument| self.expr(argument)),
        }
    }

    fn whole(&self, context: &str) -> bool {
        match self.contexts.get(context) {
            _ if context.eq_ignore_ascii_case("needs") => false,
            Some(Value::Object(sources)) if context.eq_ignore_ascii_case("data") => {
                sources.iter().all(|(_, source)| !matches!(source, Value::Null))
            }
            found => found.is_some(),
        }
    }

    /// Whether a data source could be read; one that could not is null.
    fn source(&self, name: &str) -> bool {
        match self.contexts.get("data") {
            Some(Value::Object(sources)) => !matches!(sources.get(name), Some(Value::Null)),
            _ => false,
        }
    }

    /// Says what a condition gives; `&&` and `||` may be decided by one side.
    pub(super) fn truth<'e>(&self, expr: &'e Expr) -> Truth<'e> {
        match &expr.kind {
            ExprKind::Binary(BinaryOp::And, a, b) => match (self.truth(a), self.truth(b)) {
                (Truth::No(part), _) | (_, Truth::No(part)) => Truth::No(part),
                (Truth::Yes, Truth::Yes) => Truth::Yes,
                _ => Truth::Open,
            },
            ExprKind::Binary(BinaryOp::Or, a, b) => match (self.truth(a), self.truth(b)) {
                (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
                (Truth::No(_), Truth::No(_)) => Truth::No(expr),
                _ => Truth::Open,
            },
            ExprKind::Call(name, _)
                if ["failure", "cancelled"].iter().any(|f| name.eq_ignore_ascii_case(f)) =>
            {
                Truth::Open
            }
            ExprKind::Not(of) if matches!(&of.kind, ExprKind::Call(..)) && !self.fixed(of) => Truth::Open,
            _ if !self.fixed(expr) => Truth::Open,
            _ => match evaluate(expr, self.contexts) {
                Ok(value) if value.truthy() => Truth::Yes,
                Ok(_) => Truth::No(expr),
                Err(_) => Truth::Open,
            },
        }
    }

    /// Tells whether an expression has the same value however the run goes.
    fn fixed(&self, expr: &Expr) -> bool {
        let mut asks_failure = false;
        expr.walk(&mut |part| {
            if let ExprKind::Call(name, _) = &part.kind {
                asks_failure |= ["failure", "cancelled"].iter().any(|f| name.eq_ignore_ascii_case(f));
            }
        });
        !asks_failure && self.expr(expr)
    }

    /// Evaluates what can be evaluated of a text and leaves the rest as written.
    pub(super) fn text(&self, template: &Template) -> String {
        let mut made = String::new();
        for part in &template.parts {
            match part {
                Part::Literal(text) => made.push_str(text),
                Part::Expr(expr, at) => match evaluate(expr, self.contexts) {
                    Ok(value) if self.expr(expr) && value.is_primitive() => made.push_str(&value.to_text()),
                    _ => {
                        let place = (*at + expr.start) as usize..(*at + expr.end) as usize;
                        made.push_str("${{ ");
                        made.push_str(template.raw.get(place).unwrap_or_default());
                        made.push_str(" }}");
                    }
                },
            }
        }
        made
    }
}
