//! Works out the type of an expression and what cannot be right about it.

use super::build::Scopes;
use super::types::{Shape, Type};
use crate::check::access::{Access, Inside};
use crate::check::sites::Site;
use crate::expr::{BinaryOp, Expr, ExprKind};
use crate::source::Span;
use crate::value::Value;
use std::sync::Arc;

/// Something that cannot be right, and where. Each rule picks its own.
pub(crate) struct Finding<'a> {
    /// What.
    pub problem: Problem,
    /// Where in the file.
    pub span: Span,
    /// The template it is in.
    pub site: Site<'a>,
}

/// What cannot be right.
pub(crate) enum Problem {
    /// A key that the map does not have.
    Missing {
        /// The map.
        shape: Arc<Shape>,
        /// The key.
        name: Arc<str>,
    },
    /// `.name` of something that is no map.
    NotAMap {
        /// What it is.
        found: Type,
        /// The key.
        name: Arc<str>,
    },
    /// A comparison that never holds.
    NeverEqual {
        /// The left side.
        left: Type,
        /// The right side.
        right: Type,
    },
    /// A boolean that is compared by size.
    NoOrder,
    /// A list or a map in which a function looks for text, or the other way round.
    NeverText {
        /// What it is.
        found: Type,
    },
    /// A list or a map where text is made of it.
    PrintsNothing {
        /// What it is.
        found: Type,
    },
}

struct Infer<'s, 'a> {
    scopes: &'s Scopes<'a>,
    site: Site<'a>,
    inside: Inside<'s>,
    found: Vec<Finding<'a>>,
}

/// Returns the type of an expression and all findings in it.
pub(crate) fn infer<'s, 'a>(
    expr: &Expr,
    inside: Inside<'s>,
    site: Site<'a>,
    scopes: &'s Scopes<'a>,
) -> (Type, Vec<Finding<'a>>) {
    let mut infer = Infer { scopes, site, inside, found: Vec::new() };
    let kind = infer.visit(expr);
    (kind, infer.found)
}

impl Infer<'_, '_> {
    fn report(&mut self, expr: &Expr, problem: Problem) {
        let span = self.scopes.context_of().place(self.inside, expr);
        self.found.push(Finding { problem, span, site: self.site });
    }

    fn visit(&mut self, expr: &Expr) -> Type {
        match &expr.kind {
            ExprKind::Literal(value) => Type::of(value),
            ExprKind::Context(name) => self.scopes.context(name, &self.site),
            ExprKind::Property(base, name) => {
                let filtered = is_filter(base);
                let base = self.visit(base);
                self.property(expr, base, name, filtered)
            }
            ExprKind::Index(base, index) => self.index(expr, base, index),
            ExprKind::Star(base) => match self.visit(base) {
                Type::Array(of) => Type::Array(of),
                Type::Object(shape) => {
                    let fields = shape.fields.iter().map(|(_, t)| t.clone());
                    Type::array(Type::join_all(fields.chain(shape.rest.clone())))
                }
                _ => Type::Any,
            },
            ExprKind::Call(name, arguments) => self.call(name, arguments),
            ExprKind::Not(inner) => {
                self.visit(inner);
                Type::Bool
            }
            ExprKind::Binary(op, left, right) => self.binary(expr, *op, left, right),
        }
    }

    fn property(&mut self, expr: &Expr, base: Type, name: &Arc<str>, filtered: bool) -> Type {
        match base {
            Type::Object(shape) => {
                if let Some(kind) = shape.get(name) {
                    kind.clone()
                } else {
                    self.report(expr, Problem::Missing { shape, name: name.clone() });
                    Type::Any
                }
            }
            // A filter's result takes `.name` for each element.
            Type::Array(of) if filtered => match of.as_ref() {
                Type::Object(shape) => match shape.get(name) {
                    Some(kind) => Type::array(kind.clone()),
                    None => Type::array(Type::Any),
                },
                _ => Type::array(Type::Any),
            },
            found @ (Type::Array(_) | Type::String | Type::Number | Type::Bool) => {
                self.report(expr, Problem::NotAMap { found, name: name.clone() });
                Type::Any
            }
            Type::Any | Type::Null => Type::Any,
        }
    }

    fn index(&mut self, expr: &Expr, base: &Expr, index: &Expr) -> Type {
        let filtered = is_filter(base);
        let base = self.visit(base);
        if let ExprKind::Literal(Value::String(name)) = &index.kind {
            // `secrets['NAME']` and `matrix['key']` are ways to spell a property.
            return if matches!(base, Type::Object(_)) {
                self.property(expr, base, name, filtered)
            } else {
                Type::Any
            };
        }
        // A number or a boolean becomes the text of a key: `steps[0]` is the step `0`.
        if let (ExprKind::Literal(value @ (Value::Number(_) | Value::Bool(_))), Type::Object(_)) =
            (&index.kind, &base)
        {
            return self.property(expr, base, &Arc::from(&*value.to_text()), filtered);
        }
        self.visit(index);
        match base {
            Type::Array(of) => of.as_ref().clone(),
            _ => Type::Any,
        }
    }

    fn binary(&mut self, expr: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Type {
        let (left, right) = (self.visit(left), self.visit(right));
        match op {
            BinaryOp::Or => left.join(right),
            // `a && b` is `a` where `a` is false-like.
            BinaryOp::And => {
                if left == right {
                    right
                } else {
                    Type::Any
                }
            }
            _ => {
                let known = left != Type::Any && right != Type::Any;
                let null = left == Type::Null || right == Type::Null;
                let mixed = left.is_compound() != right.is_compound();
                let kinds = matches!(
                    (&left, &right),
                    (Type::Array(_), Type::Object(_)) | (Type::Object(_), Type::Array(_))
                );
                if known && !null && (mixed || kinds) {
                    self.report(expr, Problem::NeverEqual { left, right });
                } else if !matches!(op, BinaryOp::Equal | BinaryOp::NotEqual)
                    && (left == Type::Bool || right == Type::Bool)
                {
                    self.report(expr, Problem::NoOrder);
                }
                Type::Bool
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Expr]) -> Type {
        let lower = name.to_ascii_lowercase();
        let kinds: Vec<Type> = arguments.iter().map(|a| self.visit(a)).collect();
        match lower.as_str() {
            "startswith" | "endswith" => {
                for (argument, kind) in arguments.iter().zip(&kinds).filter(|(_, kind)| kind.is_compound()) {
                    self.report(argument, Problem::NeverText { found: kind.clone() });
                }
                Type::Bool
            }
            "contains" | "success" | "failure" | "cancelled" | "always" => Type::Bool,
            "format" => {
                for (argument, kind) in arguments.iter().zip(&kinds).skip(1) {
                    if kind.is_compound() {
                        self.report(argument, Problem::PrintsNothing { found: kind.clone() });
                    }
                }
                Type::String
            }
            "join" | "tojson" | "hashfiles" => Type::String,
            "best" => match arguments.first().and_then(Access::of) {
                Some(access) if access.is("needs") => {
                    access.name(0).map_or(Type::Any, |job| self.scopes.instance(job))
                }
                _ => Type::Any,
            },
            _ => Type::Any,
        }
    }
}

/// Tells whether a value comes from a filter (`a.*`, or a property of one).
fn is_filter(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Star(_) => true,
        ExprKind::Property(base, _) => is_filter(base),
        _ => false,
    }
}
