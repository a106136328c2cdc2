//! What people see of an instance: `train (svm, 0.1)`, as GitHub names it.

use super::{Contexts, evaluate};
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::Job;

/// Tells whether the name has expressions and so must be evaluated for each instance.
pub(super) fn reads_matrix(job: &Job) -> bool {
    job.name.as_ref().is_some_and(|name| !name.is_literal())
}

/// Names an instance: its `name` where that has expressions, otherwise the name or the id with the
/// matrix values in parentheses. A name that cannot be evaluated yet falls back to the id.
pub(super) fn instance(job: &Job, contexts: &Contexts, matrix: Option<&Object>) -> String {
    let base = match &job.name {
        Some(name) if name.is_literal() => name.raw.trim().to_owned(),
        Some(name) => match evaluate::text("name", name, contexts) {
            Ok(text) if !text.trim().is_empty() => return text.trim().to_owned(),
            _ => String::new(),
        },
        None => String::new(),
    };
    let base = if base.is_empty() { job.id.value.clone() } else { base };
    match matrix {
        None => base,
        Some(matrix) => {
            let mut leaves = Vec::new();
            for (_, value) in matrix.iter() {
                collect(value, &mut leaves);
            }
            if leaves.is_empty() { base } else { format!("{base} ({})", leaves.join(", ")) }
        }
    }
}

/// Gathers the leaves of a value in order.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(map) => map.iter().for_each(|(_, item)| collect(item, into)),
        leaf => {
            let text = leaf.to_text();
            if !text.is_empty() {
                into.push(text.to_string());
            }
        }
    }
}
