//! `ACTIONS_ALLOW_UNSECURE_COMMANDS`: any output of a program may set variables and paths again.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "insecure-commands",
    level: Level::Warning,
    about: "the commands that any output could give are switched on again",
    check,
};

const SWITCH: &str = "ACTIONS_ALLOW_UNSECURE_COMMANDS";

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let jobs = facts.workflow.jobs.iter().map(|job| &job.env);
    let steps = facts.steps().map(|(_, step)| &step.env);
    let all = std::iter::once(&facts.workflow.env).chain(jobs).chain(steps);
    all.flat_map(|env| &env.variables)
        .filter(|(name, value)| name.value.eq_ignore_ascii_case(SWITCH) && &*value.raw != "false")
        .map(|(name, _)| {
            let text = "whatever a program prints may set variables and paths of the steps after it";
            Diagnostic::warning(RULE.id, name.span, text)
                .help("leave it out, and write to the files `$GITHUB_ENV` and `$GITHUB_PATH`")
        })
        .collect()
}
