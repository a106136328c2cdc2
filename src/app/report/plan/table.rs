//! The matrix of a job as a table.

use super::words::resources;
use crate::app::report::one_line;
use serde_json::Value as Json;
use tidegate_flow::plan::PlannedJob;

/// Columns of a value.
const CELL: usize = 48;

/// Most rows that are shown; the rest is counted.
const ROWS: usize = 12;

/// Lays out the instances of a job: matrix values, then what each asks of a machine.
pub(super) fn rows(job: &PlannedJob) -> Vec<String> {
    let shown = job.instances.get(..ROWS).unwrap_or(&job.instances);
    let mut names: Vec<String> = Vec::new();
    for one in shown {
        for name in one.matrix.as_object().into_iter().flat_map(|matrix| matrix.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    let keys = names.len();
    let asked = ["cpu", "memory", "gpu"];
    let mut table =
        vec![names.iter().map(String::as_str).chain(asked).map(str::to_owned).collect::<Vec<_>>()];
    for one in shown {
        let values = names
            .iter()
            .map(|name| one.matrix.get(name).map_or_else(String::new, |value| one_line(&plain(value), CELL)));
        table.push(values.chain(resources(&one.settings.resources)).collect());
    }
    let used = |column: usize| {
        column < keys || table.iter().skip(1).any(|row| row.get(column).is_some_and(|t| !t.is_empty()))
    };
    let columns: Vec<usize> = (0..keys + asked.len()).filter(|column| used(*column)).collect();
    let width = |column: &usize| {
        table.iter().filter_map(|row| row.get(*column)).map(|t| t.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let mut lines: Vec<String> = table
        .iter()
        .map(|row| {
            let cells = columns.iter().zip(&widths).map(|(column, width)| {
                let text = row.get(*column).map(String::as_str).unwrap_or_default();
                format!("{text:<width$}")
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    if job.instances.len() > shown.len() {
        let rest = crate::app::report::count((job.instances.len() - shown.len()) as u64);
        lines.push(format!("… and {rest} more"));
    }
    lines
}

/// A value without quotes.
pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}
