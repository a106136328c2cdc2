//! `--job` and `--matrix`: what of a workflow is wanted.

use serde_json::Value as Json;
use std::collections::BTreeSet;
use tidegate_lang::expr::closest;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::Workflow;

/// Returns the ids of the wanted jobs and of all they need; no name: all jobs.
pub fn select_jobs(workflow: &Workflow, wanted: &[String]) -> Result<BTreeSet<String>, String> {
    let all = || workflow.jobs.iter().map(|job| job.id.value.as_str());
    if wanted.is_empty() {
        return Ok(all().map(str::to_owned).collect());
    }
    let find = |id: &str| workflow.jobs.iter().find(|job| job.id.value.eq_ignore_ascii_case(id));
    let mut selected = BTreeSet::new();
    let mut open = Vec::new();
    for id in wanted {
        let Some(job) = find(id) else {
            let hint = match closest(id, all()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", all().collect::<Vec<_>>().join(", ")),
            };
            return Err(format!("there is no job `{id}`; {hint}"));
        };
        open.push(job);
    }
    while let Some(job) = open.pop() {
        if selected.insert(job.id.value.clone()) {
            open.extend(job.needs.iter().filter_map(|need| find(&need.value)));
        }
    }
    Ok(selected)
}

/// Reads `KEY=VALUE` or `KEY:VALUE` of `--matrix`; several may be joined by commas.
pub fn matrix_filters(given: &[String]) -> Result<Vec<(String, String)>, String> {
    given
        .iter()
        .flat_map(|text| text.split(','))
        .map(|text| match text.split_once(['=', ':']) {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("`{text}` is no matrix value: write KEY=VALUE")),
        })
        .collect()
}

/// Tells whether an instance is wanted: every filter whose key its matrix has must fit; without
/// such a key it is wanted. Keys of nested values are joined by dots; filters of one key are
/// alternatives.
pub fn matrix_fits(matrix: &Json, filters: &[(String, String)]) -> bool {
    let value = Value::from(matrix);
    let found = |key: &str| -> Option<Value> {
        let mut at = value.clone();
        for part in key.split('.') {
            at = super::evaluate::get(&at, part)?.clone();
        }
        Some(at)
    };
    filters.iter().all(|(key, _)| {
        let Some(own) = found(key) else {
            return true;
        };
        let alternatives = filters.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key));
        alternatives.into_iter().any(|(_, wanted)| own.to_text().eq_ignore_ascii_case(wanted))
    })
}
