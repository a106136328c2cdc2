//! Which context values the templates of a job can reach, so that a spec holds no more and a cache
//! key depends on no more.

use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_lang::expr::{Expr, ExprKind, Template};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::Env;

/// Paths into contexts, such as `["needs", "train", "outputs"]`; a path reaches everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    paths: BTreeSet<Vec<String>>,
}

impl Reads {
    /// Adds what a template reaches.
    pub(super) fn template(&mut self, template: &Template) {
        for (expr, _) in template.expressions() {
            self.expression(expr);
        }
    }

    /// Adds a whole context.
    pub(super) fn whole(&mut self, context: &str) {
        self.paths.insert(vec![context.to_owned()]);
    }

    fn expression(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(_) => {}
            ExprKind::Call(name, arguments) if name.eq_ignore_ascii_case("best") => self.best(arguments),
            ExprKind::Call(_, arguments) => arguments.iter().for_each(|argument| self.expression(argument)),
            ExprKind::Binary(_, a, b) => {
                self.expression(a);
                self.expression(b);
            }
            ExprKind::Not(of) => self.expression(of),
            ExprKind::Context(_) | ExprKind::Property(..) | ExprKind::Index(..) | ExprKind::Star(_) => {
                self.path(expr);
            }
        }
    }

    /// `best(needs.j, 'm')` looks into the job it is given.
    fn best(&mut self, arguments: &[Expr]) {
        arguments.iter().for_each(|argument| self.expression(argument));
    }

    /// Adds the path of a chain of properties, and what its indexes read.
    fn path(&mut self, expr: &Expr) {
        let mut names = Vec::new();
        let mut at = expr;
        loop {
            match &at.kind {
                ExprKind::Context(name) => {
                    names.push(name.to_ascii_lowercase());
                    break;
                }
                ExprKind::Property(of, name) => {
                    names.push(name.to_ascii_lowercase());
                    at = of;
                }
                ExprKind::Index(of, index) => {
                    match &index.kind {
                        ExprKind::Literal(Value::String(name)) => names.push(name.to_ascii_lowercase()),
                        ExprKind::Literal(_) => names.clear(),
                        _ => {
                            self.expression(index);
                            names.clear();
                        }
                    }
                    at = of;
                }
                ExprKind::Star(of) => {
                    names.clear();
                    at = of;
                }
                _ => return self.expression(at),
            }
        }
        names.reverse();
        self.paths.insert(names);
    }

    /// Returns the parts of the contexts that are reached, by context name.
    pub(super) fn prune<'a>(
        &self,
        contexts: impl Iterator<Item = (&'a str, &'a Value)>,
    ) -> BTreeMap<String, Json> {
        let mut pruned = BTreeMap::new();
        for (name, value) in contexts {
            let below: Vec<&[String]> = self
                .paths
                .iter()
                .filter_map(|path| {
                    path.split_first().filter(|(first, _)| first.as_str() == name).map(|(_, rest)| rest)
                })
                .collect();
            if !below.is_empty() {
                pruned.insert(name.to_owned(), cut(value, &below));
            }
        }
        pruned
    }
}

/// Keeps what the paths reach of a value.
fn cut(value: &Value, paths: &[&[String]]) -> Json {
    let Value::Object(map) = value else {
        return Json::from(value);
    };
    if paths.iter().any(|path| path.is_empty()) {
        return Json::from(value);
    }
    let mut kept = Map::new();
    for (key, item) in map.iter() {
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| {
                path.split_first().filter(|(first, _)| first.eq_ignore_ascii_case(key)).map(|(_, rest)| rest)
            })
            .collect();
        if !below.is_empty() {
            kept.insert(key.to_string(), cut(item, &below));
        }
    }
    Json::Object(kept)
}

impl Reads {
    /// Adds what several templates reach.
    pub(super) fn each<'a>(&mut self, templates: impl Iterator<Item = &'a Template>) {
        templates.for_each(|template| self.template(template));
    }

    /// Adds what an `env` mapping reaches.
    pub(super) fn env(&mut self, env: &Env) {
        self.each(env.variables.iter().map(|(_, value)| value));
        self.each(env.expression.iter());
    }

    /// Tells whether anything of a context is reached.
    pub(super) fn reaches(&self, context: &str) -> bool {
        self.paths.iter().any(|path| path.first().is_some_and(|first| first == context))
    }

    /// Returns which of the given names below a context are reached; all, if it is reached whole.
    pub(super) fn names(&self, context: &str, all: &[String]) -> Vec<String> {
        let reached = |name: &str| {
            self.paths.iter().any(|path| match path.as_slice() {
                [first] => first == context,
                [first, second, ..] => first == context && second.eq_ignore_ascii_case(name),
                [] => false,
            })
        };
        all.iter().filter(|name| reached(name)).cloned().collect()
    }

    /// Tells whether a job of `needs` is reached that is not among the known ones.
    pub(super) fn has_open_needs(&self, known: &BTreeSet<String>) -> bool {
        self.paths.iter().any(|path| match path.as_slice() {
            [first] => first == "needs",
            [first, second, ..] => first == "needs" && !known.contains(second),
            [] => false,
        })
    }
}
