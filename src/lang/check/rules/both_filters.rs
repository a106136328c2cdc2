//! A filter and its opposite below one event.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "both-filters",
    level: Level::Tidegate,
    about: "an event has a filter and its `-ignore` at once",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for event in &facts.workflow.on.events {
        for (word, wanted, unwanted) in [
            ("branches", &event.branches, &event.branches_ignore),
            ("tags", &event.tags, &event.tags_ignore),
            ("paths", &event.paths, &event.paths_ignore),
        ] {
            let (Some(wanted), Some(unwanted)) = (wanted, unwanted) else { continue };
            let place =
                |all: &[crate::source::Spanned<String>]| all.first().map_or(event.name.span, |w| w.span);
            let text = format!(
                "`{}` has both `{word}` and `{word}-ignore`, and GitHub takes only one",
                event.name.value
            );
            found.push(
                Diagnostic::error(RULE.id, place(unwanted), text)
                    .related(place(wanted), "the other one")
                    .help(format!("put what is not wanted behind the rest of `{word}`, with `!` in front")),
            );
        }
    }
    found
}
