//! Actions and workflows of other repositories, which Tidegate does not fetch.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Spanned};
use crate::workflow::{Action, Dialect, JobKind};

pub(super) const RULE: Rule = Rule {
    id: "remote-action",
    level: Level::Tidegate,
    about: "`uses` names an action or workflow of another repository",
    check,
};

/// Actions that are part of Tidegate.
const BUILT_IN: &[&str] = &[
    "actions/checkout",
    "actions/upload-artifact",
    "actions/download-artifact",
    "actions/cache",
    "actions/cache/save",
    "actions/cache/restore",
];

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    if facts.workflow.dialect == Dialect::Github {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        if let Action::Uses(uses) = &step.action {
            found.extend(step_uses(&uses.uses));
        }
    }
    for job in &facts.workflow.jobs {
        if let JobKind::Call(call) = &job.kind
            && call.uses.value.contains('@')
            && !call.uses.value.starts_with("./")
        {
            let text = format!(
                "`{}` is a workflow of another repository, and Tidegate runs only what is in this one",
                call.uses.value
            );
            found.push(
                Diagnostic::error(RULE.id, call.uses.span, text)
                    .help("copy the file here and call it as `./path/to/file.yml`"),
            );
        }
    }
    found
}

fn step_uses(uses: &Spanned<String>) -> Option<Diagnostic> {
    let text = uses.value.as_str();
    if text.starts_with("./") || text.contains("${{") {
        return None;
    }
    let name = text.split('@').next().unwrap_or(text);
    if BUILT_IN.iter().any(|b| b.eq_ignore_ascii_case(name)) {
        return None;
    }
    let message = format!("`{text}` is not in this repository, and Tidegate fetches no code from elsewhere");
    Some(Diagnostic::error(RULE.id, uses.span, message).help(instead(name)))
}

/// What to do instead of the actions that people use most.
fn instead(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let text = match name.as_str() {
        "actions/setup-python" | "astral-sh/setup-uv" | "conda-incubator/setup-miniconda" => {
            "name the environment: `python: { version: \"3.11\", requirements: requirements.txt }`"
        }
        "actions/github-script" => "call the API from a `run` step",
        "actions/setup-node" | "actions/setup-java" | "actions/setup-go" => {
            "use a `container` that has it, or install it in a `run` step"
        }
        _ if name.starts_with("docker://") => "name the image as `container` of the step",
        _ if name.starts_with("docker/") => "call `docker` in a `run` step",
        _ => {
            "write its commands as `run` steps, or copy a composite action here and use it as `./path`; built in are \
             actions/checkout, upload-artifact, download-artifact and cache"
        }
    };
    text.to_owned()
}
