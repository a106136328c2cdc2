//! Jobs of a workflow as a run declares them, before anything is evaluated.

use crate::run::JobDeclared;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_lang::workflow::{JobKind, Workflow};

/// Declares the jobs of a workflow in file order. `path` is where it is written; `caller` is what
/// people see of the calling instance; `first` is the number its first job gets in the run.
pub fn declare_jobs(
    workflow: &Workflow,
    path: &str,
    caller: Option<&str>,
    first: u32,
) -> Vec<Arc<JobDeclared>> {
    let numbers: HashMap<String, u32> = workflow
        .jobs
        .iter()
        .zip(first..)
        .map(|(job, number)| (job.id.value.to_lowercase(), number))
        .collect();
    workflow
        .jobs
        .iter()
        .map(|job| {
            let own = match &job.name {
                Some(name) if name.is_literal() && !name.raw.trim().is_empty() => name.raw.trim(),
                _ => job.id.value.as_str(),
            };
            Arc::new(JobDeclared {
                id: job.id.value.clone(),
                workflow: path.to_owned(),
                display: caller.map_or_else(|| own.to_owned(), |caller| format!("{caller} / {own}")),
                needs: job
                    .needs
                    .iter()
                    .filter_map(|need| numbers.get(&need.value.to_lowercase()).copied())
                    .collect(),
                call: matches!(job.kind, JobKind::Call(_)),
            })
        })
        .collect()
}
