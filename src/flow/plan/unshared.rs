//! Paths that only an image has: where steps run in images, built-in actions, gates and what reads metrics run beside them and
//! see the shared folders alone.

use super::absent::Absent;
use tidegate_lang::expr::Template;
use tidegate_lang::workflow::{Action, Job, JobKind, Step};

/// The actions whose `path` is one of files.
const ACTIONS: [&str; 5] = [
    "actions/cache",
    "actions/cache/restore",
    "actions/cache/save",
    "actions/download-artifact",
    "actions/upload-artifact",
];

/// Lists paths that are outside of the work folder as they are written.
pub(super) fn unshared(job: &Job, name: impl Fn(&Step, usize) -> String) -> Vec<Absent> {
    let JobKind::Steps(steps) = &job.kind else { return Vec::new() };
    let mut found = Vec::new();
    for (key, read) in [("metrics", &job.ml.metrics), ("params", &job.ml.params)] {
        for file in read.iter().flat_map(|metrics| &metrics.files).filter(|file| is_outside(&file.raw)) {
            let words = format!(
                "{} is in the image, where nobody reads it: the job has none of these; let the program write it into the work folder",
                file.raw
            );
            found.push(Absent::harmless(key, &words).at(file.span));
        }
    }
    for (step, index) in steps.iter().zip(0_usize..) {
        for (key, file) in read_beside(&step.action).filter(|(_, file)| is_outside(&file.raw)) {
            let words = format!(
                "{} is in the image, and is read beside it: the step fails; let a step copy it into the work folder",
                file.raw
            );
            found.push(Absent::harmless(&format!("{}.{key}", name(step, index)), &words).at(file.span));
        }
        let Action::Uses(uses) = &step.action else { continue };
        let action = uses.uses.value.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let path = uses.with.iter().find(|(input, _)| input.value.eq_ignore_ascii_case("path"));
        let Some((_, path)) = path.filter(|_| ACTIONS.contains(&action.as_str())) else { continue };
        for line in path.raw.lines().map(str::trim).filter(|line| is_outside(line)) {
            // A user without a home folder in the image has one in RUNNER_TEMP.
            let home = if line.starts_with('~') { " where its user has a home folder there" } else { "" };
            let words = format!(
                "{line} is in the image{home}, and the action sees only the work folder and RUNNER_TEMP: the step fails; let the program use a folder of the work folder, or copy it there"
            );
            found.push(Absent::harmless(&format!("{}.with.path", name(step, index)), &words).at(path.span));
        }
    }
    found
}

/// Files that a gate or a validation reads.
fn read_beside(action: &Action) -> impl Iterator<Item = (&'static str, &Template)> {
    let files = match action {
        Action::Validate(validate) => [
            Some(("validate.data", &validate.data)),
            validate.schema.as_ref().map(|s| ("validate.schema", s)),
        ],
        Action::Gate(gate) => [gate.baseline.as_ref().map(|file| ("gate.baseline", file)), None],
        _ => [None, None],
    };
    files.into_iter().flatten()
}

fn is_outside(line: &str) -> bool {
    line.starts_with('/') || line == "~" || line.starts_with("~/")
}
