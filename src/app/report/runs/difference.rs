//! What differs between two runs, as data, and as people read it.

use crate::app::report::{Style, metric};
use serde::Serialize;
use serde_json::Value as Json;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Whose: `train (model=svm)`; empty for the run itself.
    pub of: String,
    /// Which: a metric's, a parameter's, an artifact's name.
    pub name: String,
    /// In the first run; null if it is not there.
    pub before: Json,
    /// In the second run; null if it is not there.
    pub after: Json,
    /// `max` or `min` of a metric, where a goal says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
}

/// What differs between two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Numbers of the two.
    pub runs: [u64; 2],
    /// Event, commit, inputs.
    pub start: Vec<Change>,
    /// Results of jobs.
    pub results: Vec<Change>,
    /// Metrics.
    pub metrics: Vec<Change>,
    /// Parameters.
    pub params: Vec<Change>,
    /// Digests of artifacts.
    pub artifacts: Vec<Change>,
    /// Lines of workflow files: `before` went, `after` came.
    pub commands: Vec<Change>,
}

impl Difference {
    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sections().iter().all(|(_, changes)| changes.is_empty())
    }

    fn sections(&self) -> [(&'static str, &[Change]); 6] {
        [
            ("metrics", &self.metrics),
            ("results", &self.results),
            ("parameters", &self.params),
            ("artifacts", &self.artifacts),
            ("started with", &self.start),
            ("commands", &self.commands),
        ]
    }

    /// Writes it for people; each section says so when nothing differs in it.
    pub fn text(&self, style: Style) -> String {
        let [first, second] = self.runs;
        let mut text = format!("run {first} → run {second}\n");
        let mut same = Vec::new();
        for (title, changes) in self.sections() {
            if changes.is_empty() {
                same.push(title);
                continue;
            }
            text.push_str(&format!("\n  {}\n", style.name(title)));
            if title == "commands" {
                text.push_str(&commands(changes, style));
            } else {
                text.push_str(&table(changes, style));
            }
        }
        if !same.is_empty() {
            text.push_str(&format!("\n  {}\n", style.dim(&format!("the same: {}", same.join(", ")))));
        }
        text
    }
}

fn table(changes: &[Change], style: Style) -> String {
    let label = |change: &Change| match change.of.as_str() {
        "" => change.name.clone(),
        of if change.name.is_empty() => of.to_owned(),
        of => format!("{of}  {}", change.name),
    };
    let width = changes.iter().map(|change| label(change).chars().count()).max().unwrap_or(0);
    let row = |change: &Change| {
        let values = format!("{} → {}", shown(&change.before), shown(&change.after));
        let by = by(change, style).map(|by| format!("   {by}")).unwrap_or_default();
        format!("    {:width$}   {values}{by}\n", label(change))
    };
    changes.iter().map(row).collect()
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

fn commands(changes: &[Change], style: Style) -> String {
    let (mut text, mut file) = (String::new(), "");
    for change in changes {
        if change.of != file {
            file = &change.of;
            text.push_str(&format!("    {file}\n"));
        }
        if let Some(line) = change.before.as_str() {
            text.push_str(&format!("    {}\n", style.bad(&format!("- {line}"))));
        }
        if let Some(line) = change.after.as_str() {
            text.push_str(&format!("    {}\n", style.good(&format!("+ {line}"))));
        }
    }
    text
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::String(text) => text.clone(),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), metric),
        other => other.to_string(),
    }
}
