//! `shell` that names no shell.

use crate::check::suggest::nearest;
use crate::check::{Facts, Level, Rule};
use crate::expr::Template;
use crate::source::Diagnostic;
use crate::workflow::Action;

pub(super) const RULE: Rule = Rule {
    id: "shell-name",
    level: Level::Tidegate,
    about: "`shell` is neither a known shell nor a command with `{0}`",
    check,
};

const SHELLS: &[&str] = &["bash", "sh", "python", "pwsh", "powershell", "cmd"];

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let defaults = facts.workflow.jobs.iter().filter_map(|j| j.defaults.shell.as_ref());
    let steps = facts.steps().filter_map(|(_, s)| match &s.action {
        Action::Run(run) => run.shell.as_ref(),
        _ => None,
    });
    facts.workflow.defaults.shell.iter().chain(defaults).chain(steps).filter_map(finding).collect()
}

fn finding(shell: &Template) -> Option<Diagnostic> {
    let name = shell.raw.trim();
    if !shell.is_literal() || SHELLS.contains(&name) || name.contains("{0}") {
        return None;
    }
    let mut diagnostic = Diagnostic::error(RULE.id, shell.span, format!("there is no shell `{name}`"));
    if let Some(near) = nearest(name, SHELLS.iter().copied()) {
        diagnostic = diagnostic.label(format!("did you mean `{near}`?")).fix(shell.span, near);
    }
    Some(diagnostic.help(
        "known are bash, sh, python, pwsh, powershell and cmd; any other command takes the script as `{0}`",
    ))
}
