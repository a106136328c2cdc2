//! What differs between two runs, as data, and as people read it.

use crate::app::report::{FileChange, Style, TextChange, metric};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// One thing that differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    /// Whose: the job's id; empty for the run itself.
    pub of: String,
    /// The instance's matrix values: `model=svm, c=0.1`; empty without a matrix.
    pub matrix: String,
    /// Which: a metric's, a parameter's, an artifact's name; empty for a result.
    pub name: String,
    /// In the first run; null if it is not there.
    pub before: Json,
    /// In the second run; null if it is not there.
    pub after: Json,
    /// `max` or `min` of a metric, where a goal says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
}

/// What differs between two runs. Values are compared between instances that both have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Numbers of the two.
    pub runs: [u64; 2],
    /// Workflow, event, commit, inputs, variables, versions of data.
    pub start: Vec<Change>,
    /// Jobs and instances that only the first, and only the second has.
    pub only: [Vec<String>; 2],
    /// Results of jobs and instances.
    pub results: Vec<Change>,
    /// Metrics.
    pub metrics: Vec<Change>,
    /// Parameters.
    pub params: Vec<Change>,
    /// Digests and sizes of artifacts.
    pub artifacts: Vec<Change>,
    /// Files of the tree.
    pub files: Vec<FileChange>,
    /// Workflow files.
    pub commands: Vec<TextChange>,
}

/// Rows of one job's matrix that are shown for one name; the rest is counted.
const ROWS: usize = 4;
/// Files that are shown.
const FILES: usize = 20;

impl Difference {
    /// Writes it for people: what differs, section by section, and what is the same.
    pub fn text(&self, style: Style) -> String {
        let [first, second] = self.runs;
        let mut text = format!("run {first} → run {second}\n");
        let mut same = Vec::new();
        let sections = [
            ("metrics", table(&self.metrics, by, style)),
            ("results", self.results(style)),
            ("parameters", table(&self.params, nothing, style)),
            ("artifacts", table(&self.artifacts, nothing, style)),
            ("started with", table(&self.start, nothing, style)),
            ("files", self.files()),
            ("commands", self.commands.iter().map(|file| file.text("    ", style)).collect()),
        ];
        for (title, lines) in sections {
            if lines.is_empty() {
                same.push(title);
            } else {
                text.push_str(&format!("\n  {}\n{lines}", style.name(title)));
            }
        }
        if !same.is_empty() {
            text.push_str(&format!("\n  {}\n", style.dim(&format!("the same: {}", same.join(", ")))));
        }
        text
    }

    fn results(&self, style: Style) -> String {
        let mut text = table(&self.results, nothing, style);
        for (run, only) in self.runs.iter().zip(&self.only) {
            if !only.is_empty() {
                text.push_str(&format!("    only in run {run}: {}\n", only.join(", ")));
            }
        }
        text
    }

    fn files(&self) -> String {
        let width = self.files.iter().take(FILES).map(|file| file.path.chars().count()).max().unwrap_or(0);
        let row = |file: &FileChange| format!("    {:width$}   {}\n", file.path, file.sides());
        let mut text: String = self.files.iter().take(FILES).map(row).collect();
        if self.files.len() > FILES {
            text.push_str(&format!("    and {} more\n", self.files.len() - FILES));
        }
        text
    }
}

/// A row for each change; of one job's matrix the largest changes first, and the rest counted.
fn table(changes: &[Change], by: fn(&Change, Style) -> Option<String>, style: Style) -> String {
    let mut groups: Vec<((&str, &str), Vec<&Change>)> = Vec::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for change in changes {
        let key = (change.of.as_str(), change.name.as_str());
        let at = *places.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, rows)) = groups.get_mut(at) {
            rows.push(change);
        }
    }
    let mut shown: Vec<(String, String)> = Vec::new();
    for ((of, name), mut rows) in groups {
        // Rounded, so that what the last bit makes differ stays in matrix order.
        rows.sort_by_key(|change| std::cmp::Reverse(format!("{:032.9}", size(change))));
        for change in rows.iter().take(ROWS) {
            let values = format!("{} → {}", value(&change.before), value(&change.after));
            let by = by(change, style).map(|by| format!("   {by}")).unwrap_or_default();
            shown.push((label(change), format!("{values}{by}")));
        }
        if rows.len() > ROWS {
            let name = if name.is_empty() { String::new() } else { format!("  {name}") };
            let more = style.dim(&format!("and {} more instances", rows.len() - ROWS));
            shown.push((format!("{of}{name}"), more));
        }
    }
    let width = shown.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    shown.iter().fold(String::new(), |all, (label, text)| all + &format!("    {label:width$}   {text}\n"))
}

fn label(change: &Change) -> String {
    let matrix = if change.matrix.is_empty() { String::new() } else { format!(" ({})", change.matrix) };
    match (change.of.as_str(), change.name.as_str()) {
        ("", name) => name.to_owned(),
        (of, "") => format!("{of}{matrix}"),
        (of, name) => format!("{of}{matrix}  {name}"),
    }
}

/// How far a number moved, for the order of rows.
fn size(change: &Change) -> f64 {
    match (change.before.as_f64(), change.after.as_f64()) {
        (Some(before), Some(after)) => (after - before).abs(),
        _ => 0.0,
    }
}

/// Nothing is better or worse.
fn nothing(_change: &Change, _style: Style) -> Option<String> {
    None
}

/// `+0.011`, in green or red where a goal says which is better.
fn by(change: &Change, style: Style) -> Option<String> {
    let step = change.after.as_f64()? - change.before.as_f64()?;
    let text = format!("{}{}", if step < 0.0 { "−" } else { "+" }, metric(step.abs()));
    Some(match change.goal.as_deref() {
        Some("max") if step > 0.0 => format!("{} better", style.good(&text)),
        Some("min") if step < 0.0 => format!("{} better", style.good(&text)),
        Some("max" | "min") if step != 0.0 => format!("{} worse", style.bad(&text)),
        _ => text,
    })
}

fn value(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::String(text) => text.clone(),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), metric),
        other => other.to_string(),
    }
}
