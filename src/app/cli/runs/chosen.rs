//! Which instances of a run a command is about.

use crate::app::cli::Failure;
use crate::app::report::{InstanceView, RunView};

/// Finds the instances of a job, or of all, that have these matrix values; a job or values that the run does not have are
/// an error.
pub(super) fn choose<'a>(
    job: Option<&str>,
    matrix: &[String],
    view: &'a RunView,
) -> Result<Vec<(u32, &'a InstanceView)>, Failure> {
    if let Some(job) = job
        && !view.jobs.iter().any(|other| other.declared.id == *job || other.declared.display == *job)
    {
        let jobs: Vec<&str> = (0..view.jobs.len()).map(|job| called(view, job)).collect();
        return Err(Failure::wrong(format!("run {} has no job `{job}`", view.created.number))
            .hint(format!("its jobs: {}", jobs.join(", "))));
    }
    let chosen: Vec<(u32, &InstanceView)> = (0..)
        .zip(&view.instances)
        .filter(|(_, instance)| {
            let found = view.jobs.get(instance.job as usize);
            job.is_none_or(|wanted| {
                found.is_some_and(|job| job.declared.id == *wanted || job.declared.display == *wanted)
            })
        })
        .filter(|(_, instance)| {
            let has = instance.matrix_text("\n");
            matrix.iter().all(|pair| has.lines().any(|other| other == pair.trim()))
        })
        .collect();
    if chosen.is_empty() && !matrix.is_empty() {
        let rows: Vec<String> = view
            .instances
            .iter()
            .map(|instance| instance.matrix_text(","))
            .filter(|row| !row.is_empty())
            .collect();
        return Err(Failure::wrong(format!("no instance has {}", matrix.join(",")))
            .hint(format!("there are: {}", rows.join(" · "))));
    }
    Ok(chosen)
}

/// The name of an instance for people: its job, and its matrix values.
pub(super) fn name(view: &RunView, instance: &InstanceView) -> String {
    let job = called(view, instance.job as usize);
    match instance.matrix_text(", ") {
        matrix if matrix.is_empty() => job.to_owned(),
        matrix => format!("{job} ({matrix})"),
    }
}

/// What a job is chosen by: its id, or its name where called workflows have jobs of one id.
fn called(view: &RunView, job: usize) -> &str {
    let Some(declared) = view.jobs.get(job).map(|job| &job.declared) else { return "" };
    let alone = view.jobs.iter().filter(|other| other.declared.id == declared.id).count() == 1;
    if alone { &declared.id } else { &declared.display }
}
