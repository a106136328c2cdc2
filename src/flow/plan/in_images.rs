//! What jobs in containers and pods ask for in vain, as far as the file alone says it: `check` and `plan`
//! say the same.
//!
//! Not here: values that an expression gives (`service`, `pod`: they are looked at once they are known).

use super::absent::{Absent, Place, name};
use super::pod;
use super::service::{self, Finding};
use crate::job::ServiceSpec;
use tidegate_lang::expr::Template;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Job, JobKind, Tree, TreeKind, Workflow};

/// Lists it.
pub(super) fn in_images(workflow: &Workflow, job: &Job, place: Place) -> Vec<Absent> {
    let mut found = Vec::new();
    if !matches!(job.kind, JobKind::Steps(_)) {
        return found;
    }
    found.extend(python(workflow, job));
    if place == Place::Pods {
        found.extend(runs_on(job));
        found.extend(gpus(job));
    }
    found.extend(services(job, place));
    found.extend(beside(job));
    found
}

/// What the agent does itself runs in no container.
fn beside(job: &Job) -> Vec<Absent> {
    let JobKind::Steps(steps) = &job.kind else { return Vec::new() };
    let mut found = Vec::new();
    for (step, index) in steps.iter().zip(0_usize..).filter(|(step, _)| pod::runs_beside(step)) {
        for (key, given) in [("container", step.container.is_some()), ("resources", step.resources.is_some())]
        {
            if given {
                let words = "gates, validations and built-in actions run beside the containers of steps";
                found.push(Absent::harmless(&format!("{}.{key}", name(step, index)), words).at(step.span));
            }
        }
    }
    found
}

/// An image brings its own Python.
fn python(workflow: &Workflow, job: &Job) -> Option<Absent> {
    let inherited = job.defaults.python.as_deref().or(workflow.defaults.python.as_deref());
    let given = job.ml.python.as_deref().or(inherited)?;
    let words = match &given.requirements {
        Some(file) if file.is_literal() => {
            format!("the image brings its own Python; what {} names has to be in the image", file.raw)
        }
        _ => "the image brings its own Python, and has to bring the packages".to_owned(),
    };
    Some(Absent::harmless("python", &words).at(given.span))
}

/// Labels that every Linux machine has, and GitHub's own of them.
const ANYWHERE: [&str; 3] = ["self-hosted", "linux", "x64"];

/// Labels of runners choose no node.
fn runs_on(job: &Job) -> Option<Absent> {
    let given = job.runs_on.as_ref()?;
    let chooses = |label: &&Template| {
        let label = label.raw.to_ascii_lowercase();
        !label.is_empty() && !label.starts_with("ubuntu-") && !ANYWHERE.contains(&label.as_str())
    };
    let label = given.labels.iter().chain(&given.group).find(chooses)?;
    let words =
        format!("`{}` chooses no node; `resources`, `spot`, `queue` and `pod-template` do", label.raw);
    Some(Absent::harmless("runs-on", &words).at(given.span))
}

/// What of a GPU only NVIDIA's nodes say.
fn gpus(job: &Job) -> Vec<Absent> {
    let mut found = Vec::new();
    let own = job.ml.resources.as_deref().map(|resources| ("resources".to_owned(), resources));
    let JobKind::Steps(steps) = &job.kind else { return found };
    let of_steps = steps.iter().zip(0_usize..).filter_map(|(step, index)| {
        Some((format!("{}.resources", name(step, index)), step.resources.as_deref()?))
    });
    for (key, resources) in own.into_iter().chain(of_steps) {
        let Some(Tree { kind: TreeKind::Mapping(entries), .. }) = &resources.gpu else { continue };
        let entry = |wanted: &str| entries.iter().find(|(key, _)| &*key.value.raw == wanted);
        let Some((_, Tree { kind: TreeKind::Literal(Value::String(vendor)), .. })) = entry("vendor") else {
            continue;
        };
        if vendor.is_empty() || vendor.eq_ignore_ascii_case("nvidia") {
            continue;
        }
        for part in ["product", "memory"] {
            if let Some((at, _)) = entry(part) {
                let words = "only NVIDIA's node labels say it; use `pod-template` for others";
                found.push(Absent::blocking(format!("{key}.gpu.{part}"), words).at(at.span));
            }
        }
    }
    found
}

/// What services say without an expression.
fn services(job: &Job, place: Place) -> Vec<Absent> {
    let mut found = Vec::new();
    let mut before: Vec<ServiceSpec> = Vec::new();
    for (name, given) in &job.services {
        let at = |part: &str| format!("services.{}.{part}", name.value);
        let (made, said) = service::written(&name.value, given, place);
        let said = said.into_iter().map(|(part, finding)| match finding {
            Finding::Wrong(words) => Absent::blocking(at(part), &words),
            Finding::Ignored(words) => Absent::harmless(&at(part), &words),
        });
        found.extend(said.map(|part| part.at(name.span)));
        if let Some(words) = service::same_port(&before, &made) {
            found.push(Absent::blocking("services", &words).at(name.span));
        }
        before.push(made);
    }
    found
}
