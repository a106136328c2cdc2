//! Paths of built-in actions that only an image has: where steps run in images, the actions run beside them and see
//! the shared folders alone.

use super::absent::Absent;
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
    for (step, index) in steps.iter().zip(0_usize..) {
        let Action::Uses(uses) = &step.action else { continue };
        let action = uses.uses.value.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let path = uses.with.iter().find(|(input, _)| input.value.eq_ignore_ascii_case("path"));
        let Some((_, path)) = path.filter(|_| ACTIONS.contains(&action.as_str())) else { continue };
        for line in path.raw.lines().map(str::trim).filter(|line| is_outside(line)) {
            let words = format!(
                "{line} is in the image, and the action sees only the work folder and RUNNER_TEMP: the step fails; let the program use a folder of the work folder, or copy it there"
            );
            found.push(Absent::harmless(&format!("{}.with.path", name(step, index)), &words).at(path.span));
        }
    }
    found
}

fn is_outside(line: &str) -> bool {
    line.starts_with('/') || line == "~" || line.starts_with("~/")
}
