//! The decision: start, or the filter that said no.
//!
//! Source of the rules: GitHub's "Events that trigger workflows" and "Workflow syntax", `on`.

use super::pattern::last_match;
use super::{EventFacts, resolve_inputs};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_lang::source::Spanned;
use tidegate_lang::workflow::{Event, Workflow};

/// What an event does to a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It starts.
    Start(Start),
    /// It does not, and that is no mistake.
    NoStart(NoStart),
    /// It would, but its inputs are wrong.
    Refused {
        /// One sentence each.
        problems: Vec<String>,
    },
}

/// Why it starts, and with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Each filter that let it through, in words: "branch main matches `main`".
    pub reasons: Vec<String>,
    /// The `inputs` context.
    pub inputs: Json,
}

/// Why it does not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoStart {
    /// The filter that said no: `on`, `types`, `branches`, `branches-ignore`, `tags`, `tags-ignore`,
    /// `paths`, `paths-ignore`, `schedule`, `workflows`.
    pub filter: String,
    /// In words with the values: "branch x matches none of `main`".
    pub words: String,
}

fn no(filter: &str, words: String) -> NoStart {
    NoStart { filter: filter.to_owned(), words }
}

/// Decides whether an event starts a workflow.
pub fn decide(workflow: &Workflow, facts: &EventFacts) -> Decision {
    let reasons = match passes(workflow, facts) {
        Ok(reasons) => reasons,
        Err(reason) => return Decision::NoStart(reason),
    };
    match resolve_inputs(workflow, facts) {
        Ok(inputs) => Decision::Start(Start { reasons, inputs }),
        Err(problems) => Decision::Refused { problems },
    }
}

/// Asks every filter in turn.
fn passes(workflow: &Workflow, facts: &EventFacts) -> Result<Vec<String>, NoStart> {
    if facts.by_hand {
        return Ok(vec!["started by hand".to_owned()]);
    }
    let Some(event) = workflow.on.events.iter().find(|event| event.name.value == facts.name) else {
        let names = quoted(workflow.on.events.iter().map(|event| event.name.value.as_str()));
        let words = if workflow.on.events.len() == 1 {
            format!("it has only {names}")
        } else {
            format!("it has {names}")
        };
        return Err(no("on", words));
    };
    let mut reasons = Vec::new();
    types(event, facts, &mut reasons)?;
    schedule(workflow, facts, &mut reasons)?;
    source_workflow(event, facts, &mut reasons)?;
    references(event, facts, &mut reasons)?;
    paths(event, facts, &mut reasons)?;
    if reasons.is_empty() {
        reasons.push(format!("it has `{}`", facts.name));
    }
    Ok(reasons)
}

/// Activity types where the file names none.
fn default_types(event: &str) -> Option<&'static [&'static str]> {
    matches!(event, "pull_request" | "pull_request_target").then_some(&["opened", "synchronize", "reopened"])
}

fn types(event: &Event, facts: &EventFacts, reasons: &mut Vec<String>) -> Result<(), NoStart> {
    let Some(activity) = &facts.activity else {
        return Ok(());
    };
    let wanted: Vec<&str> = match (&event.types, default_types(&event.name.value)) {
        (Some(types), _) => types.iter().map(|name| name.value.as_str()).collect(),
        (None, Some(types)) => types.to_vec(),
        (None, None) => return Ok(()),
    };
    if wanted.iter().any(|name| name.eq_ignore_ascii_case(activity)) {
        reasons.push(format!("type {activity}"));
        return Ok(());
    }
    let default = if event.types.is_none() { " (the default types)" } else { "" };
    Err(no("types", format!("type {activity} is none of {}{default}", quoted(wanted.into_iter()))))
}

fn schedule(workflow: &Workflow, facts: &EventFacts, reasons: &mut Vec<String>) -> Result<(), NoStart> {
    let Some(due) = facts.schedule.as_ref().filter(|_| facts.name == "schedule") else {
        return Ok(());
    };
    if workflow.on.schedule.iter().any(|line| line.cron.value == *due) {
        reasons.push(format!("`{due}` is due"));
        return Ok(());
    }
    let lines = quoted(workflow.on.schedule.iter().map(|line| line.cron.value.as_str()));
    Err(no("schedule", format!("`{due}` is none of {lines}")))
}

fn source_workflow(event: &Event, facts: &EventFacts, reasons: &mut Vec<String>) -> Result<(), NoStart> {
    let (Some(wanted), Some(name)) = (&event.workflows, &facts.workflow) else {
        return Ok(());
    };
    match last_match(texts(wanted), name) {
        Some((pattern, true)) => {
            reasons.push(format!("workflow {name} matches `{pattern}`"));
            Ok(())
        }
        _ => Err(no("workflows", format!("workflow {name} matches none of {}", quoted(texts(wanted))))),
    }
}

/// Branch and tag filters: who names only branches is not started by tags, and the other way round.
fn references(event: &Event, facts: &EventFacts, reasons: &mut Vec<String>) -> Result<(), NoStart> {
    let branches = event.branches.is_some() || event.branches_ignore.is_some();
    let tags = event.tags.is_some() || event.tags_ignore.is_some();
    if let Some(tag) = facts.tag().filter(|_| facts.base.is_none()) {
        if branches && !tags {
            return Err(no(
                "branches",
                format!("tag {tag} is no branch, and the filter names only branches"),
            ));
        }
        return name_filter("tag", tag, ("tags", &event.tags), ("tags-ignore", &event.tags_ignore), reasons);
    }
    let Some(branch) = facts.branch() else {
        return Ok(());
    };
    if tags && !branches {
        return Err(no("tags", format!("branch {branch} is no tag, and the filter names only tags")));
    }
    name_filter(
        "branch",
        branch,
        ("branches", &event.branches),
        ("branches-ignore", &event.branches_ignore),
        reasons,
    )
}

/// A filter's key and its patterns.
type Filter<'a> = (&'static str, &'a Option<Vec<Spanned<String>>>);

/// Asks a filter of names and its `-ignore` twin.
fn name_filter(
    what: &str,
    name: &str,
    (key, keep): Filter<'_>,
    (ignore_key, ignore): Filter<'_>,
    reasons: &mut Vec<String>,
) -> Result<(), NoStart> {
    if let Some(keep) = keep {
        match last_match(texts(keep), name) {
            Some((pattern, true)) => reasons.push(format!("{what} {name} matches `{pattern}`")),
            Some((pattern, false)) => {
                return Err(no(key, format!("{what} {name} is taken out by `{pattern}`")));
            }
            None => return Err(no(key, format!("{what} {name} matches none of {}", quoted(texts(keep))))),
        }
    }
    if let Some(ignore) = ignore
        && let Some((pattern, true)) = last_match(texts(ignore), name)
    {
        return Err(no(ignore_key, format!("{what} {name} is ignored by `{pattern}`")));
    }
    Ok(())
}

/// Path filters. They are not asked for tags, nor where the changed files are not known.
fn paths(event: &Event, facts: &EventFacts, reasons: &mut Vec<String>) -> Result<(), NoStart> {
    let Some(changed) = facts.changed.as_ref().filter(|_| facts.tag().is_none()) else {
        return Ok(());
    };
    if let Some(keep) = &event.paths {
        let found = changed.iter().find_map(|path| match last_match(texts(keep), path) {
            Some((pattern, true)) => Some((path, pattern)),
            _ => None,
        });
        match found {
            Some((path, pattern)) => reasons.push(format!("{path} matches `{pattern}`")),
            None => {
                return Err(no("paths", format!("{} matches {}", none_of(changed), quoted(texts(keep)))));
            }
        }
    }
    if let Some(ignore) = &event.paths_ignore {
        let kept = changed.iter().find(|path| !matches!(last_match(texts(ignore), path), Some((_, true))));
        match kept {
            Some(path) => reasons.push(format!("{path} is not ignored")),
            None if changed.is_empty() => return Err(no("paths-ignore", "no file changed".to_owned())),
            None => {
                let patterns = quoted(texts(ignore));
                return Err(no("paths-ignore", format!("all changed files are ignored by {patterns}")));
            }
        }
    }
    Ok(())
}

fn none_of(changed: &[String]) -> String {
    match changed {
        [] => "no file changed that".to_owned(),
        [only] => format!("{only} is the only changed file, and nothing"),
        many => format!("none of {} changed files", many.len()),
    }
}

fn texts(patterns: &[Spanned<String>]) -> impl Iterator<Item = &str> {
    patterns.iter().map(|pattern| pattern.value.as_str())
}

/// Joins words for people: `a`, `b` and 7 more.
fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match all.get(..SHOWN) {
        Some(first) if all.len() > SHOWN => format!("{} and {} more", first.join(", "), all.len() - SHOWN),
        _ => all.join(", "),
    }
}
