//! Workflow commands that GitHub has replaced by files.

use crate::check::access::literal_text;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Action;

pub(super) const RULE: Rule = Rule {
    id: "deprecated-command",
    level: Level::Warning,
    about: "a script prints a workflow command that was replaced by a file",
    check,
};

/// The command and what to write instead.
const COMMANDS: &[(&str, &str)] = &[
    ("set-output", "echo \"NAME=VALUE\" >> \"$GITHUB_OUTPUT\""),
    ("save-state", "echo \"NAME=VALUE\" >> \"$GITHUB_STATE\""),
    ("set-env", "echo \"NAME=VALUE\" >> \"$GITHUB_ENV\""),
    ("add-path", "echo \"FOLDER\" >> \"$GITHUB_PATH\""),
];

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        let Action::Run(run) = &step.action else { continue };
        if !literal_text(&run.script).any(|text| text.contains("::")) {
            continue;
        }
        for (command, instead) in COMMANDS {
            let (named, bare) = (format!("::{command} "), format!("::{command}::"));
            if literal_text(&run.script).any(|t| t.contains(&named) || t.contains(&bare)) {
                let text = format!("`::{command}` is deprecated");
                found.push(
                    Diagnostic::warning(RULE.id, run.script.span, text).help(format!("write `{instead}`")),
                );
            }
        }
    }
    found
}
