//! Finds what differs between two runs.

use super::{Change, Difference};
use crate::app::report::{FileChange, InstanceState, InstanceView, RunView, TextChange};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::job::{ArtifactRef, Receipt};

/// One of the two runs.
#[derive(Debug)]
pub struct Side<'a> {
    /// What its events add up to.
    pub view: &'a RunView,
    /// Texts of its workflow files by path, as far as they could be read.
    pub texts: BTreeMap<String, String>,
}

/// An instance by job and matrix values: the same in both runs, whatever their order.
type Named<'a> = BTreeMap<(String, String), &'a InstanceView>;

/// Compares two runs; `files` are those of their trees that differ.
pub fn compare(a: &Side, b: &Side, files: Vec<FileChange>) -> Difference {
    let (left, right) = (named(a.view), named(b.view));
    let mut difference = Difference {
        runs: [a.view.created.number, b.view.created.number],
        start: start(a.view, b.view),
        only: [only(&left, &right, b.view), only(&right, &left, a.view)],
        results: results(a.view, b.view, &left, &right),
        commands: commands(a, b),
        ..Difference::default()
    };
    // Workflow files are told line by line.
    let told = |file: &FileChange| difference.commands.iter().any(|text| text.paths.contains(&file.path));
    difference.files = files.into_iter().filter(|file| !told(file)).collect();
    for ((job, matrix), before) in &left {
        let Some(after) = right.get(&(job.clone(), matrix.clone())) else { continue };
        let (Some(before), Some(after)) = (&before.receipt, &after.receipt) else { continue };
        let of =
            |what: fn(&Receipt) -> BTreeMap<String, Json>| values(job, matrix, &what(before), &what(after));
        let mut metrics = of(|receipt| receipt.metrics.clone());
        for change in &mut metrics {
            change.goal = after.goals.get(&change.name).or(before.goals.get(&change.name)).cloned();
        }
        difference.metrics.extend(metrics);
        difference.params.extend(of(|receipt| receipt.params.clone()));
        difference.artifacts.extend(of(artifacts));
    }
    difference
}

fn named(view: &RunView) -> Named<'_> {
    let name = |instance: &InstanceView| {
        let job = view.jobs.get(instance.job as usize).map(|job| &job.declared);
        let inner = job.filter(|job| job.workflow != view.created.workflow);
        let job = inner.map(|job| &job.display).or(job.map(|job| &job.id));
        (job.cloned().unwrap_or_default(), instance.matrix_text(", "))
    };
    view.instances.iter().map(|instance| (name(instance), instance)).collect()
}

/// Instances that only the first has, folded to their job where it has none in the second. A job that
/// did not get as far as to have some is told by its result.
fn only(these: &Named, others: &Named, other: &RunView) -> Vec<String> {
    let missing: Vec<&(String, String)> = these.keys().filter(|name| !others.contains_key(*name)).collect();
    let mut jobs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let empty = |id: &String| other.jobs.iter().any(|job| job.declared.id == *id && job.instances.is_empty());
    for (job, matrix) in missing.into_iter().filter(|(job, _)| !empty(job)) {
        jobs.entry(job).or_default().push(matrix);
    }
    let mut lines = Vec::new();
    for (job, rows) in jobs {
        let mut other = others.keys().filter(|(other, _)| other == job).peekable();
        let (there, matrix) = (other.peek().is_some(), other.any(|(_, matrix)| !matrix.is_empty()));
        match rows.as_slice() {
            [""] if there => lines.push(format!("{job} without a matrix")),
            [""] => lines.push(job.to_owned()),
            [one] => lines.push(format!("{job} ({one})")),
            _ if !matrix => lines.push(format!("{job} × {}", rows.len())),
            [first, rest @ ..] => lines.push(format!("{job} ({first}, and {} more)", rest.len())),
            [] => {}
        }
    }
    lines
}

/// Results of the jobs and instances that both have.
fn results(a: &RunView, b: &RunView, left: &Named, right: &Named) -> Vec<Change> {
    let jobs = |view: &RunView| -> BTreeMap<String, Json> {
        let jobs = view.jobs.iter();
        jobs.filter_map(|job| Some((job.declared.id.clone(), json!(job.result?)))).collect()
    };
    let (before, after) = (jobs(a), jobs(b));
    let mut changes: Vec<Change> = values("", "", &before, &after)
        .into_iter()
        .filter(|change| !change.before.is_null() && !change.after.is_null())
        .map(|change| Change { of: change.name.clone(), name: String::new(), ..change })
        .collect();
    let word = |instance: &InstanceView| match instance.state {
        InstanceState::Ended(conclusion) => json!(conclusion),
        _ => Json::Null,
    };
    for ((job, matrix), before) in left.iter().filter(|((_, matrix), _)| !matrix.is_empty()) {
        if let Some(after) = right.get(&(job.clone(), matrix.clone()))
            && word(before) != word(after)
        {
            let (before, after) = (word(before), word(after));
            let (of, matrix) = (job.clone(), matrix.clone());
            changes.push(Change { of, matrix, before, after, ..Change::default() });
        }
    }
    changes
}

fn artifacts(receipt: &Receipt) -> BTreeMap<String, Json> {
    let short = |artifact: &ArtifactRef| {
        let digest: String = artifact.digest.chars().take(8).collect();
        json!(format!("{digest} ({})", crate::app::report::bytes(artifact.size)))
    };
    receipt.artifacts.iter().map(|(name, artifact)| (name.clone(), short(artifact))).collect()
}

fn start(a: &RunView, b: &RunView) -> Vec<Change> {
    let facts = |view: &RunView| {
        let created = &view.created;
        let commit: String = created.source.commit.chars().take(12).collect();
        let state = if created.source.dirty { " and uncommitted changes" } else { "" };
        let mut facts = BTreeMap::from([
            ("workflow".to_owned(), json!(created.workflow)),
            ("event".to_owned(), json!(created.event)),
            ("commit".to_owned(), json!(format!("{commit}{state}"))),
        ]);
        for context in ["inputs", "vars"] {
            if let Some(values) = created.contexts.get(context).and_then(Json::as_object) {
                let named = values.iter().map(|(name, value)| (format!("{context}.{name}"), value.clone()));
                facts.extend(named);
            }
        }
        if let Some(sources) = created.contexts.get("data").and_then(Json::as_object) {
            let version = |(name, pinned): (&String, &Json)| {
                let digest = pinned.get("version").and_then(Json::as_str).unwrap_or_default();
                (format!("data.{name}"), json!(digest.chars().take(8).collect::<String>()))
            };
            facts.extend(sources.iter().map(version));
        }
        facts
    };
    values("", "", &facts(a), &facts(b))
}

fn values(
    of: &str,
    matrix: &str,
    before: &BTreeMap<String, Json>,
    after: &BTreeMap<String, Json>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |side: &BTreeMap<String, Json>, name: &String| side.get(name).cloned().unwrap_or(Json::Null);
    let change = |name: &String| Change {
        of: of.to_owned(),
        matrix: matrix.to_owned(),
        name: name.clone(),
        before: value(before, name),
        after: value(after, name),
        goal: None,
    };
    names.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

/// Workflow files that differ: the two root files with one another, called ones by path.
fn commands(a: &Side, b: &Side) -> Vec<TextChange> {
    let (left, right) = (&a.view.created, &b.view.created);
    let roots = (&left.workflow, &right.workflow);
    let mut pairs = vec![roots];
    let paths: BTreeSet<&String> = left.texts.keys().chain(right.texts.keys()).collect();
    let called = |path: &&String| *path != roots.0 && *path != roots.1;
    pairs.extend(paths.into_iter().filter(called).map(|path| (path, path)));
    let differ = |(old, new): &(&String, &String)| left.texts.get(*old) != right.texts.get(*new);
    let text = |(old, new): (&String, &String)| {
        TextChange::of([old, new], a.texts.get(old).map(String::as_str), b.texts.get(new).map(String::as_str))
    };
    pairs.into_iter().filter(differ).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_are_named_with_both_sides() {
        let before = BTreeMap::from([("accuracy".to_owned(), json!(0.9)), ("loss".to_owned(), json!(1))]);
        let after = BTreeMap::from([("accuracy".to_owned(), json!(0.95)), ("loss".to_owned(), json!(1))]);
        let changes = values("train", "", &before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].name.as_str(), &changes[0].after), ("accuracy", &json!(0.95)));
    }
}
