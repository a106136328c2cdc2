//! The list of runs, the newest first.

use crate::app::report::{Style, count, duration};
use serde_json::{Value as Json, json};
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::RunSummary;

/// One run of the list.
#[derive(Clone, Debug)]
pub struct Line {
    /// ULID.
    pub run: String,
    /// For people.
    pub number: u64,
    /// Path of the workflow file.
    pub workflow: String,
    /// Event.
    pub event: String,
    /// Empty outside a repository.
    pub branch: String,
    /// Empty outside a repository.
    pub commit: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// `None` while it runs or was interrupted.
    pub summary: Option<RunSummary>,
    /// Process id of the living owner.
    pub owner: Option<u32>,
}

impl Line {
    /// Returns the state in one word.
    pub fn state(&self) -> &'static str {
        match (&self.summary, self.owner) {
            (None, Some(_)) => "running",
            (None, None) => "interrupted",
            (Some(summary), _) => match summary.conclusion {
                Conclusion::Failure if summary.gate => "stopped by a gate",
                Conclusion::Failure if summary.tool_failure => "not finished",
                Conclusion::Success => "passed",
                Conclusion::Failure => "failed",
                Conclusion::Cancelled => "cancelled",
                Conclusion::Skipped => "nothing ran",
            },
        }
    }

    fn name(&self) -> &str {
        let file = self.workflow.rsplit('/').next().unwrap_or(&self.workflow);
        file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml")).unwrap_or(file)
    }

    fn place(&self) -> String {
        let commit: String = self.commit.chars().take(7).collect();
        [self.branch.as_str(), commit.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Writes a row for each run; `now` in milliseconds since 1970.
pub fn list(lines: &[Line], now: i64, style: Style) -> String {
    let cells: Vec<[String; 6]> = lines.iter().map(|line| row(line, now)).collect();
    let mut widths = [0; 6];
    for cell in &cells {
        for (width, text) in widths.iter_mut().zip(cell) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (line, cell) in lines.iter().zip(&cells) {
        let sign = match &line.summary {
            Some(summary) => style.sign(summary.conclusion),
            None => style.again(if line.owner.is_some() { "…" } else { "!" }),
        };
        let [number, rest @ ..] = cell;
        let padded = rest.iter().zip(widths.iter().skip(1)).map(|(text, width)| format!("{text:width$}"));
        let row = padded.collect::<Vec<_>>().join("  ");
        let width = widths.first().copied().unwrap_or(0);
        text.push_str(&format!("{} {sign} {}\n", style.name(&format!("{number:>width$}")), row.trim_end()));
    }
    text
}

fn row(line: &Line, now: i64) -> [String; 6] {
    let took = line.summary.as_ref().map(|summary| duration(summary.duration_ms)).unwrap_or_default();
    [
        line.number.to_string(),
        line.name().to_owned(),
        line.state().to_owned(),
        took,
        format!("{} ago", ago(now.saturating_sub(line.created))),
        [line.event.clone(), line.place()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" · "),
    ]
}

/// How long ago, in the largest unit that says it: `40s`, `3h`, `12 days`.
fn ago(ms: i64) -> String {
    let seconds = u64::try_from(ms / 1000).unwrap_or(0);
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{} days", count(seconds / 86_400)),
    }
}

/// Returns the list as JSON.
pub fn list_json(lines: &[Line]) -> Json {
    let one = |line: &Line| {
        json!({
            "run": line.run,
            "number": line.number,
            "workflow": line.workflow,
            "state": line.state(),
            "event": line.event,
            "branch": line.branch,
            "commit": line.commit,
            "created": line.created,
            "owner": line.owner,
            "summary": line.summary,
        })
    };
    Json::Array(lines.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_how_and_when() {
        let line = Line {
            run: "01J".to_owned(),
            number: 7,
            workflow: ".ml/workflows/digits.yml".to_owned(),
            event: "push".to_owned(),
            branch: "main".to_owned(),
            commit: "4f2a91c0000".to_owned(),
            created: 0,
            summary: None,
            owner: Some(1),
        };
        let lines = [Line { number: 12, owner: None, ..line.clone() }, line];
        assert_eq!(
            list(&lines, 7_200_000, Style::default()),
            "12 ! digits  interrupted    2h ago  push · main 4f2a91c\n 7 … digits  running        2h ago  push · main 4f2a91c\n"
        );
    }
}
