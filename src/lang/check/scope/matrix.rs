//! The type of `matrix`, and how many instances a literal matrix gives.

use super::types::{Kind, Type};
use crate::workflow::{Job, Tree, TreeKind};

/// The type of a tree's value.
pub(super) fn tree_type(tree: &Tree) -> Type {
    match &tree.kind {
        TreeKind::Literal(value) => Type::of(value),
        // Text around an expression gives text; an expression alone may give anything.
        TreeKind::Template(template) if template.parts.len() > 1 => Type::String,
        TreeKind::Template(_) => Type::Any,
        TreeKind::Sequence(items) => Type::array(Type::join_all(items.iter().map(tree_type))),
        TreeKind::Mapping(entries) => {
            let mut fields = Vec::with_capacity(entries.len());
            let mut open = false;
            for (name, value) in entries {
                if name.value.is_literal() {
                    fields.push((name.value.raw.clone(), tree_type(value)));
                } else {
                    open = true;
                }
            }
            if open { Type::open(Kind::Plain, fields, Type::Any) } else { Type::closed(Kind::Plain, fields) }
        }
    }
}

/// The type of `matrix` in a job.
pub(super) fn matrix_type(job: &Job) -> Type {
    let Some(strategy) = &job.strategy else {
        return Type::closed(Kind::Matrix, Vec::new());
    };
    if strategy.expression.is_some() {
        return Type::Any;
    }
    let Some(matrix) = &strategy.matrix else {
        return Type::closed(Kind::Matrix, Vec::new());
    };
    let TreeKind::Mapping(entries) = &matrix.kind else {
        return Type::Any;
    };
    let mut fields = Vec::new();
    let mut rest = None;
    for (name, value) in entries {
        if !name.value.is_literal() {
            rest = Some(Type::Any);
            continue;
        }
        match name.value.raw.as_ref() {
            "exclude" => {}
            "include" => merge_include(value, &mut fields, &mut rest),
            key => add(&mut fields, key.into(), row_type(value)),
        }
    }
    match rest {
        Some(rest) => Type::open(Kind::Matrix, fields, rest),
        None => Type::closed(Kind::Matrix, fields),
    }
}

fn row_type(row: &Tree) -> Type {
    match &row.kind {
        TreeKind::Sequence(items) => Type::join_all(items.iter().map(tree_type)),
        TreeKind::Template(_) => Type::Any,
        _ => tree_type(row),
    }
}

fn merge_include(include: &Tree, fields: &mut Vec<(std::sync::Arc<str>, Type)>, rest: &mut Option<Type>) {
    let TreeKind::Sequence(items) = &include.kind else {
        *rest = Some(Type::Any);
        return;
    };
    for item in items {
        let TreeKind::Mapping(entries) = &item.kind else {
            *rest = Some(Type::Any);
            continue;
        };
        for (name, value) in entries {
            if name.value.is_literal() {
                add(fields, name.value.raw.clone(), tree_type(value));
            } else {
                *rest = Some(Type::Any);
            }
        }
    }
}

fn add(fields: &mut Vec<(std::sync::Arc<str>, Type)>, name: std::sync::Arc<str>, kind: Type) {
    match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(&name)) {
        Some((_, known)) => *known = known.clone().join(kind),
        None => fields.push((name, kind)),
    }
}

/// Returns how many instances a job has, if its matrix is written out without `exclude`: 1 without
/// a matrix, `None` where only a run knows.
pub(crate) fn instance_count(job: &Job) -> Option<usize> {
    let Some(strategy) = &job.strategy else { return Some(1) };
    if strategy.expression.is_some() {
        return None;
    }
    let Some(matrix) = &strategy.matrix else { return Some(1) };
    let TreeKind::Mapping(entries) = &matrix.kind else { return None };
    let mut product = None;
    let mut included = 0;
    for (name, value) in entries {
        let TreeKind::Sequence(items) = &value.kind else { return None };
        match name.value.raw.as_ref() {
            "exclude" => return None,
            "include" => included = items.len(),
            _ => product = Some(product.unwrap_or(1_usize).saturating_mul(items.len())),
        }
    }
    match (product, included) {
        (Some(n), 0) | (None, n) => Some(n),
        (Some(_), _) => None,
    }
}
