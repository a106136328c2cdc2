//! Labels of GitHub's own machines that are misspelled or gone.

use crate::check::suggest::nearest;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::Dialect;

pub(super) const RULE: Rule = Rule {
    id: "runner-label",
    level: Level::Warning,
    about: "`runs-on` looks like one of GitHub's machines, and there is none of this name",
    check,
};

/// GitHub's hosted runners ("Choosing the runner for a job", "GitHub-hosted runners reference").
const LABELS: &[&str] = &[
    "ubuntu-latest",
    "ubuntu-24.04",
    "ubuntu-22.04",
    "ubuntu-24.04-arm",
    "ubuntu-22.04-arm",
    "ubuntu-slim",
    "windows-latest",
    "windows-2025",
    "windows-2025-vs2026",
    "windows-2022",
    "windows-11-arm",
    "macos-latest",
    "macos-latest-large",
    "macos-latest-xlarge",
    "macos-26",
    "macos-26-large",
    "macos-26-xlarge",
    "macos-26-intel",
    "macos-15",
    "macos-15-large",
    "macos-15-xlarge",
    "macos-15-intel",
    "macos-14",
    "macos-14-large",
    "macos-14-xlarge",
];

/// What GitHub has taken away.
const GONE: &[&str] = &[
    "ubuntu-20.04",
    "ubuntu-18.04",
    "ubuntu-16.04",
    "windows-2019",
    "windows-2016",
    "macos-13",
    "macos-13-large",
    "macos-13-xlarge",
    "macos-12",
    "macos-11",
    "macos-10.15",
];

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    // In Tidegate's dialect `runs-on` names a pool of the team's own.
    if facts.workflow.dialect == Dialect::Tidegate {
        return Vec::new();
    }
    let mut found = Vec::new();
    for label in facts.workflow.jobs.iter().filter_map(|j| j.runs_on.as_ref()).flat_map(|r| &r.labels) {
        let name = label.raw.to_ascii_lowercase();
        if !label.is_literal() || LABELS.contains(&name.as_str()) {
            continue;
        }
        if GONE.contains(&name.as_str()) {
            let text = format!("GitHub no longer has machines of the label `{name}`");
            found.push(
                Diagnostic::warning(RULE.id, label.span, text)
                    .help("use a newer one, such as `ubuntu-latest`"),
            );
            continue;
        }
        let hosted = ["ubuntu-", "windows-", "macos-", "linux-"].iter().any(|p| name.starts_with(p));
        let plain = name.split('-').count() <= 2;
        if hosted && plain {
            let text = format!("GitHub has no machine of the label `{name}`");
            let diagnostic = Diagnostic::warning(RULE.id, label.span, text);
            found.push(match nearest(&name, LABELS.iter().copied()) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.help("it waits for ever unless a machine of your own has this label"),
            });
        }
    }
    found
}
