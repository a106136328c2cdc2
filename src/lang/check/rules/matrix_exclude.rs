//! `exclude` entries that take nothing away.

use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::value::Value;
use crate::workflow::{Tree, TreeKind};

pub(super) const RULE: Rule = Rule {
    id: "matrix-exclude",
    level: Level::Warning,
    about: "an `exclude` of a matrix matches none of its combinations",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for matrix in facts.workflow.jobs.iter().filter_map(|j| j.strategy.as_ref()?.matrix.as_ref()) {
        let TreeKind::Mapping(entries) = &matrix.kind else { continue };
        if entries.iter().any(|(name, _)| !name.value.is_literal()) {
            continue;
        }
        let rows: Vec<(&str, &Tree)> = entries
            .iter()
            .map(|(name, row)| (name.value.raw.as_ref(), row))
            .filter(|(name, _)| !matches!(*name, "include" | "exclude"))
            .collect();
        for (_, exclude) in entries.iter().filter(|(name, _)| name.value.raw.as_ref() == "exclude") {
            let TreeKind::Sequence(items) = &exclude.kind else { continue };
            for item in items {
                found.extend(one(item, &rows));
            }
        }
    }
    found
}

fn one(item: &Tree, rows: &[(&str, &Tree)]) -> Vec<Diagnostic> {
    let TreeKind::Mapping(keys) = &item.kind else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in keys {
        let name = key.value.raw.as_ref();
        let Some((_, row)) = rows.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) else {
            let known = rows.iter().map(|(n, _)| *n);
            let mut diagnostic =
                Diagnostic::warning(RULE.id, key.span, format!("the matrix has no row `{name}`"));
            if let Some(near) = nearest(name, known.clone()) {
                diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
            }
            found.push(diagnostic.help(format!("its rows are {}", list(known))));
            continue;
        };
        let TreeKind::Sequence(values) = &row.kind else { continue };
        if !values.iter().any(|v| may_match(v, value)) {
            found.push(Diagnostic::warning(RULE.id, value.span, format!("row `{name}` has no such value")));
        }
    }
    found
}

/// An exclude names a part of a mapping or the whole value; expressions may be anything.
fn may_match(value: &Tree, wanted: &Tree) -> bool {
    match (&value.kind, &wanted.kind) {
        (TreeKind::Template(_), _) | (_, TreeKind::Template(_)) => true,
        (TreeKind::Literal(a), TreeKind::Literal(b)) => a == b || spelled(a) == spelled(b),
        (TreeKind::Sequence(a), TreeKind::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| may_match(a, b))
        }
        (TreeKind::Mapping(a), TreeKind::Mapping(b)) => b.iter().all(|(key, wanted)| {
            a.iter().any(|(k, v)| k.value.raw.eq_ignore_ascii_case(&key.value.raw) && may_match(v, wanted))
        }),
        _ => false,
    }
}

fn spelled(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.to_string(),
        Value::Array(_) | Value::Object(_) => "\0".to_owned(),
    }
}
