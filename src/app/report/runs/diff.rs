//! Finds what differs between two runs.

use super::{Change, Difference};
use crate::app::report::{InstanceState, InstanceView, RunView};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::job::Receipt;

/// One of the two runs.
#[derive(Debug)]
pub struct Side<'a> {
    /// What its events add up to.
    pub view: &'a RunView,
    /// Texts of its workflow files by path, as far as they could be read.
    pub texts: BTreeMap<String, String>,
}

/// Most lines of a workflow file that are compared line by line; larger ones are only told to differ.
const LINES: usize = 5_000;

/// Compares two runs.
pub fn compare(a: &Side, b: &Side) -> Difference {
    let (left, right) = (named(a.view), named(b.view));
    let mut difference = Difference {
        runs: [a.view.created.number, b.view.created.number],
        start: start(a.view, b.view),
        results: values("", &results(a.view), &results(b.view)),
        commands: commands(a, b),
        ..Difference::default()
    };
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        let of = |side: &BTreeMap<String, &InstanceView>| side.get(name).and_then(|i| i.receipt.clone());
        let (before, after) = (of(&left), of(&right));
        let goals = after.as_ref().or(before.as_ref()).map(|r| r.goals.clone()).unwrap_or_default();
        let pick = |side: &Option<Receipt>, what: fn(&Receipt) -> BTreeMap<String, Json>| {
            side.as_ref().map(what).unwrap_or_default()
        };
        let both = |what| values(name, &pick(&before, what), &pick(&after, what));
        let mut metrics = both(|receipt| receipt.metrics.clone());
        for change in &mut metrics {
            change.goal = goals.get(&change.name).cloned();
        }
        difference.metrics.extend(metrics);
        difference.params.extend(both(|receipt| receipt.params.clone()));
        difference.artifacts.extend(both(artifacts));
    }
    difference
}

/// Instances by job and matrix values: the same in both runs, whatever their order.
fn named(view: &RunView) -> BTreeMap<String, &InstanceView> {
    let name = |instance: &InstanceView| {
        let job = view.jobs.get(instance.job as usize);
        let job = job.map_or("", |job| {
            if job.declared.display.is_empty() { &job.declared.id } else { &job.declared.display }
        });
        let matrix = instance.matrix_text(", ");
        if matrix.is_empty() { job.to_owned() } else { format!("{job} ({matrix})") }
    };
    view.instances.iter().map(|instance| (name(instance), instance)).collect()
}

fn results(view: &RunView) -> BTreeMap<String, Json> {
    let jobs = view.jobs.iter().filter_map(|job| Some((job.declared.id.clone(), json!(job.result?))));
    let instances = named(view).into_iter().filter_map(|(name, instance)| match instance.state {
        InstanceState::Ended(conclusion) => Some((name, json!(conclusion))),
        _ => None,
    });
    jobs.chain(instances).collect()
}

fn artifacts(receipt: &Receipt) -> BTreeMap<String, Json> {
    let short = |digest: &str| json!(digest.chars().take(12).collect::<String>());
    receipt.artifacts.iter().map(|(name, artifact)| (name.clone(), short(&artifact.digest))).collect()
}

fn start(a: &RunView, b: &RunView) -> Vec<Change> {
    let facts = |view: &RunView| {
        let created = &view.created;
        let mut facts = BTreeMap::from([
            ("workflow".to_owned(), json!(created.workflow)),
            ("event".to_owned(), json!(created.event)),
            ("commit".to_owned(), json!(created.source.commit)),
            ("tree".to_owned(), json!(created.source.tree.chars().take(12).collect::<String>())),
        ]);
        if let Some(inputs) = created.contexts.get("inputs").and_then(Json::as_object) {
            facts.extend(inputs.iter().map(|(name, value)| (format!("inputs.{name}"), value.clone())));
        }
        facts
    };
    values("", &facts(a), &facts(b))
}

fn values(of: &str, before: &BTreeMap<String, Json>, after: &BTreeMap<String, Json>) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |side: &BTreeMap<String, Json>, name: &String| side.get(name).cloned().unwrap_or(Json::Null);
    let change = |name: &String| Change {
        of: of.to_owned(),
        name: name.clone(),
        before: value(before, name),
        after: value(after, name),
        goal: None,
    };
    names.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

fn commands(a: &Side, b: &Side) -> Vec<Change> {
    let (left, right) = (&a.view.created.texts, &b.view.created.texts);
    let paths: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut changes = Vec::new();
    for path in paths.into_iter().filter(|path| left.get(*path) != right.get(*path)) {
        let change = |before: Option<&str>, after: Option<&str>| Change {
            of: path.clone(),
            name: String::new(),
            before: before.map_or(Json::Null, Json::from),
            after: after.map_or(Json::Null, Json::from),
            goal: None,
        };
        match (a.texts.get(path), b.texts.get(path)) {
            (Some(old), Some(new)) if old.lines().count().max(new.lines().count()) <= LINES => {
                changes.extend(lines(old, new).into_iter().map(|(before, after)| change(before, after)));
            }
            _ => changes.push(Change {
                before: json!(left.get(path)),
                after: json!(right.get(path)),
                ..change(None, None)
            }),
        }
    }
    changes
}

/// Lines that went and lines that came, in order: the longest common subsequence stays.
fn lines<'a>(old: &'a str, new: &'a str) -> Vec<(Option<&'a str>, Option<&'a str>)> {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // What is the same at both ends is most of it: the table below is for the rest.
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    old.drain(..head);
    new.drain(..head);
    while let (Some(a), Some(b)) = (old.last(), new.last()) {
        if a != b {
            break;
        }
        old.pop();
        new.pop();
    }
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    let at = |common: &[u16], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let best = if a == b {
                at(&common, i + 1, j + 1).saturating_add(1)
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j, mut changes) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => (i, j) = (i + 1, j + 1),
            (Some(a), b) if b.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                changes.push((Some(*a), None));
                i += 1;
            }
            (_, Some(b)) => {
                changes.push((None, Some(*b)));
                j += 1;
            }
            (_, None) => break,
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_went_and_came() {
        let changes = lines("a\nb\nc\nd", "a\nc\nx\nd");
        assert_eq!(changes, [(Some("b"), None), (None, Some("x"))]);
        assert_eq!(lines("a", "a"), []);
        assert_eq!(lines("", "a\nb"), [(None, Some("a")), (None, Some("b"))]);
    }

    #[test]
    fn values_that_differ_are_named_with_both_sides() {
        let before = BTreeMap::from([("accuracy".to_owned(), json!(0.9)), ("loss".to_owned(), json!(1))]);
        let after = BTreeMap::from([("accuracy".to_owned(), json!(0.95)), ("loss".to_owned(), json!(1))]);
        let changes = values("train", &before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].name.as_str(), &changes[0].after), ("accuracy", &json!(0.95)));
    }
}
