//! `strategy.matrix`, evaluated: vectors, `exclude` and `include` give the instances.
//!
//! Source of the rules: GitHub's documentation, "Running variations of jobs in a workflow". Values
//! are compared as expressions compare them; a nested filter needs to name only a part.

use std::sync::Arc;
use tidegate_lang::value::{Object, Value};

/// More instances than this are refused in the GitHub dialect (GitHub's limit a workflow run).
pub const GITHUB_LIMIT: usize = 256;

/// More instances than this are refused everywhere: a job of this size is a mistake.
pub const LIMIT: usize = 1_000_000;

/// Expands an evaluated `matrix` in the order people expect: the last vector varies fastest, then
/// what `include` adds.
pub fn expand(matrix: &Value, limit: usize) -> Result<Vec<Arc<Object>>, String> {
    let Value::Object(matrix) = matrix else {
        return Err(format!("`matrix` must be a mapping, not {}", kind(matrix)));
    };
    let mut vectors: Vec<(&Arc<str>, &[Value])> = Vec::new();
    for (key, value) in matrix.iter() {
        if key.eq_ignore_ascii_case("include") || key.eq_ignore_ascii_case("exclude") {
            continue;
        }
        let Value::Array(items) = value else {
            return Err(format!("matrix vector `{key}` must be a list, not {}", kind(value)));
        };
        if items.is_empty() {
            return Err(format!("matrix vector `{key}` has no values"));
        }
        vectors.push((key, items));
    }
    let exclude = entries(matrix, "exclude")?;
    let include = entries(matrix, "include")?;
    for entry in &exclude {
        for (key, _) in entry.iter() {
            if !vectors.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
                return Err(format!("matrix `exclude` names `{key}`, which is no key of the matrix"));
            }
        }
    }
    let originals = product(&vectors, &exclude, limit)?;
    Ok(extend(originals, &vectors, &include, limit)?.into_iter().map(Arc::new).collect())
}

/// Returns `include` or `exclude`, each entry a mapping.
fn entries(matrix: &Object, key: &str) -> Result<Vec<Arc<Object>>, String> {
    let items = match matrix.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(other) => return Err(format!("matrix `{key}` must be a list, not {}", kind(other))),
    };
    items
        .iter()
        .map(|item| match item {
            Value::Object(entry) => Ok(entry.clone()),
            other => Err(format!("each entry of matrix `{key}` must be a mapping, not {}", kind(other))),
        })
        .collect()
}

/// Multiplies the vectors and leaves out what is excluded.
fn product(
    vectors: &[(&Arc<str>, &[Value])],
    exclude: &[Arc<Object>],
    limit: usize,
) -> Result<Vec<Object>, String> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let size = vectors.iter().try_fold(1_usize, |size, (_, items)| size.checked_mul(items.len()));
    if size.is_none_or(|size| size > LIMIT) {
        return Err(format!("the matrix multiplies to more than {LIMIT} instances"));
    }
    let mut made = Vec::new();
    let mut at = vec![0_usize; vectors.len()];
    loop {
        let mut combination = Object::default();
        for ((key, items), index) in vectors.iter().zip(&at) {
            if let Some(value) = items.get(*index) {
                combination.insert((*key).clone(), value.clone());
            }
        }
        if !exclude.iter().any(|entry| excluded(entry, &combination)) {
            made.push(combination);
            check_limit(made.len(), limit)?;
        }
        let mut digit = vectors.len();
        loop {
            if digit == 0 {
                return Ok(made);
            }
            digit -= 1;
            let (Some(index), Some((_, items))) = (at.get_mut(digit), vectors.get(digit)) else {
                return Ok(made);
            };
            *index += 1;
            if *index < items.len() {
                break;
            }
            *index = 0;
        }
    }
}

/// Tells whether an `exclude` entry, which may name a part only, fits.
fn excluded(entry: &Object, combination: &Object) -> bool {
    !entry.is_empty()
        && entry.iter().all(|(key, wanted)| combination.get(key).is_some_and(|v| fits(wanted, v)))
}

/// Adds `include`: an entry whose matrix keys fit extends every original instance it fits; one
/// that fits none becomes an instance of its own. Only originals are extended.
fn extend(
    mut originals: Vec<Object>,
    vectors: &[(&Arc<str>, &[Value])],
    include: &[Arc<Object>],
    limit: usize,
) -> Result<Vec<Object>, String> {
    let mut added = Vec::new();
    for entry in include {
        let is_vector = |key: &str| vectors.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
        let mut fitted = false;
        for original in &mut originals {
            let fit = entry
                .iter()
                .filter(|(key, _)| is_vector(key))
                .all(|(key, wanted)| original.get(key).is_some_and(|value| fits(wanted, value)));
            if fit {
                fitted = true;
                for (key, value) in entry.iter().filter(|(key, _)| !is_vector(key)) {
                    original.insert(key.clone(), value.clone());
                }
            }
        }
        if !fitted {
            added.push(entry.as_ref().clone());
            check_limit(originals.len() + added.len(), limit)?;
        }
    }
    originals.append(&mut added);
    Ok(originals)
}

/// Refuses a matrix that is larger than the limit.
fn check_limit(size: usize, limit: usize) -> Result<(), String> {
    if size > limit {
        return Err(format!("the matrix has more than {limit} instances"));
    }
    Ok(())
}

/// Tells whether a value holds what a filter names: mappings by the filter's keys, lists by the
/// filter's positions, all else by the expression language's `==`.
pub(super) fn fits(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.iter().all(|(key, item)| value.get(key).is_some_and(|v| fits(item, v)))
        }
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() <= value.len() && wanted.iter().zip(value.iter()).all(|(w, v)| fits(w, v))
        }
        _ => wanted.loosely_equals(value),
    }
}

/// Names a value's kind for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
