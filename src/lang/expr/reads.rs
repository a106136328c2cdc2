//! Which paths of which contexts an expression reads.

use super::{Expr, ExprKind};
use crate::value::Value;
use std::sync::Arc;

/// One path that an expression reads, such as `needs.train.outputs.x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The context's name as written.
    pub context: Arc<str>,
    /// The steps after it.
    pub path: Vec<Step>,
    /// First byte of the expression's text.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `.name`, `['name']` or `[0]`, and the byte range up to its end from the path's start.
    Key(Arc<str>, u32),
    /// `.*`, `[*]`, or an index that is only known when it is evaluated.
    Any(u32),
}

impl Read {
    /// Returns the name of a step, from 0 after the context; `None` for `.*`, a computed index and
    /// past the end.
    pub fn key(&self, step: usize) -> Option<&str> {
        match self.path.get(step)? {
            Step::Key(name, _) => Some(name),
            Step::Any(_) => None,
        }
    }

    /// Tells whether it starts with this context, in any case.
    pub fn is(&self, context: &str) -> bool {
        self.context.eq_ignore_ascii_case(context)
    }
}

/// Finds all paths an expression may read, in the order of the text.
pub fn reads(expr: &Expr) -> Vec<Read> {
    let mut found = Vec::new();
    visit(expr, &mut found);
    found.sort_by_key(|r| (r.start, r.end));
    found
}

fn visit(expr: &Expr, found: &mut Vec<Read>) {
    match &expr.kind {
        ExprKind::Literal(_) => {}
        ExprKind::Context(_) | ExprKind::Property(..) | ExprKind::Index(..) | ExprKind::Star(_) => {
            let mut path = Vec::new();
            if let Some(context) = chain(expr, &mut path, found) {
                found.push(Read { context, path, start: expr.start, end: expr.end });
            }
        }
        ExprKind::Call(_, arguments) => arguments.iter().for_each(|a| visit(a, found)),
        ExprKind::Not(of) => visit(of, found),
        ExprKind::Binary(_, a, b) => {
            visit(a, found);
            visit(b, found);
        }
    }
}

/// Follows accesses down to their context; visits what is read on the way.
fn chain(expr: &Expr, path: &mut Vec<Step>, found: &mut Vec<Read>) -> Option<Arc<str>> {
    match &expr.kind {
        ExprKind::Context(name) => Some(name.clone()),
        ExprKind::Property(of, name) => {
            let context = chain(of, path, found);
            path.push(Step::Key(name.clone(), expr.end));
            context
        }
        ExprKind::Star(of) => {
            let context = chain(of, path, found);
            path.push(Step::Any(expr.end));
            context
        }
        ExprKind::Index(of, index) => {
            let context = chain(of, path, found);
            if let ExprKind::Literal(value @ (Value::String(_) | Value::Number(_))) = &index.kind {
                path.push(Step::Key(value.to_text(), expr.end));
            } else {
                visit(index, found);
                path.push(Step::Any(expr.end));
            }
            context
        }
        _ => {
            visit(expr, found);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::parse;

    fn paths(text: &str) -> Vec<String> {
        let show = |r: Read| {
            let steps = r.path.iter().map(|s| match s {
                Step::Key(name, _) => format!(".{name}"),
                Step::Any(_) => ".*".to_owned(),
            });
            format!("{}{}", r.context, steps.collect::<String>())
        };
        reads(&parse(text).unwrap()).into_iter().map(show).collect()
    }

    #[test]
    fn paths_of_all_shapes_are_found() {
        assert_eq!(paths("needs.train.outputs['x'] == 'a'"), ["needs.train.outputs.x"]);
        assert_eq!(paths("matrix[github.ref].a"), ["matrix.*.a", "github.ref"]);
        assert_eq!(paths("fromJSON(steps.a.outputs.b).c[inputs.d]"), ["steps.a.outputs.b", "inputs.d"]);
        assert_eq!(paths("!(a.*.b || c[0])"), ["a.*.b", "c.0"]);
    }
}
