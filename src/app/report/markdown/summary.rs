//! Writes the summary.

use crate::app::report::terminal::{LastLines, ending, logs, why_not};
use crate::app::report::{
    InstanceState, InstanceView, JobView, RunView, Style, duration, metric, verdict_lines,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Lines of output that are shown of a failure.
const LAST: usize = 20;

/// Writes a run that ended: a table of its instances with their metrics, what gates said, what
/// failed, and the jobs' own summaries.
pub fn summary(view: &RunView, lines: &LastLines) -> String {
    let mut text = format!("## {} · run {}\n\n", cell(&view.created.name), view.created.number);
    let _ = writeln!(text, "{}\n", ending(view, Style::default()).trim().lines().next().unwrap_or_default());
    table(&mut text, view);
    for (index, instance) in (0..).zip(&view.instances) {
        details(&mut text, view, (index, instance), lines);
    }
    text
}

/// The instances of a job, the best by its first metric with a goal first.
fn sorted<'a>(view: &'a RunView, job: &'a JobView) -> Vec<&'a InstanceView> {
    let mut all: Vec<&InstanceView> = view.instances_of(job).map(|(_, instance)| instance).collect();
    let goals = all.iter().find_map(|i| i.receipt.as_ref().and_then(|r| r.goals.iter().next()));
    let Some((name, goal)) = goals.map(|(name, goal)| (name.clone(), goal.clone())) else { return all };
    let value = |i: &&InstanceView| {
        let value = i.receipt.as_ref().and_then(|r| r.metrics.get(&name)).and_then(serde_json::Value::as_f64);
        let value = value.filter(|v| v.is_finite());
        value.map_or(f64::INFINITY, |value| if goal == "min" { value } else { -value })
    };
    all.sort_by(|a, b| value(a).total_cmp(&value(b)));
    all
}

fn table(text: &mut String, view: &RunView) {
    let names: BTreeSet<&String> =
        view.instances.iter().filter_map(|i| i.receipt.as_ref()).flat_map(|r| r.goals.keys()).collect();
    let _ = write!(text, "| job | result | time |");
    for name in &names {
        let _ = write!(text, " {} |", cell(name));
    }
    let _ = writeln!(text, "\n|---|---|---:|{}", "---:|".repeat(names.len()));
    for job in &view.jobs {
        if job.instances.is_empty() {
            let reason = why_not(view, job);
            let word = match job.result {
                Some(Conclusion::Skipped) => "–".to_owned(),
                result => result.map_or("", word).to_owned(),
            };
            let _ = writeln!(
                text,
                "| {} | {word} {} | |{}",
                cell(&job.declared.display),
                cell(&reason),
                " |".repeat(names.len())
            );
        }
        for instance in sorted(view, job) {
            let state = match instance.state {
                InstanceState::Ended(conclusion) => word(conclusion),
                _ => "not ended",
            };
            let took = instance.elapsed(view.last).map(duration).unwrap_or_default();
            let _ = write!(text, "| {} | {state} | {took} |", cell(instance.display()));
            for name in &names {
                let value = instance
                    .receipt
                    .as_ref()
                    .and_then(|r| r.metrics.get(*name))
                    .and_then(serde_json::Value::as_f64);
                let _ = write!(text, " {} |", value.map(metric).unwrap_or_default());
            }
            text.push('\n');
        }
    }
    text.push('\n');
}

fn details(text: &mut String, view: &RunView, (index, instance): (u32, &InstanceView), lines: &LastLines) {
    let numbers: Vec<String> =
        instance.verdicts.iter().flat_map(|v| verdict_lines(v, Style::default())).collect();
    if !numbers.is_empty() {
        let what = if instance.class() == Some(FailureClass::Gate) { "stopped by a gate" } else { "holds" };
        let _ = writeln!(text, "**{}**: {what}\n", cell(instance.display()));
        fenced(text, &numbers.join("\n"));
    }
    let Some(receipt) = &instance.receipt else { return };
    let gate = receipt.class == Some(FailureClass::Gate) && !numbers.is_empty();
    if instance.state == InstanceState::Ended(Conclusion::Failure) && !gate {
        let class = receipt.class.map_or("failure", FailureClass::word);
        let reason = receipt.reason.as_deref().unwrap_or_default();
        let (reason, about) = reason.split_once('\n').unwrap_or((reason, ""));
        let _ = writeln!(text, "**{}**: {class}: {}\n", cell(instance.display()), cell(reason));
        if !about.is_empty() {
            fenced(text, about);
        }
        if let Some(step) = instance.steps.last() {
            let said = lines(index, instance.attempt, step.log.0, step.log.1);
            let last: Vec<&str> =
                said.iter().skip(said.len().saturating_sub(LAST)).map(String::as_str).collect();
            if !last.is_empty() {
                fenced(text, &last.join("\n"));
            }
            let _ = writeln!(text, "`{}`\n", logs(view, instance));
        }
    }
    if !receipt.summary.trim().is_empty() {
        let _ = writeln!(text, "### {}\n\n{}\n", cell(instance.display()), receipt.summary.trim_end());
    }
}

/// A block of text, fenced by more backticks than are in it.
fn fenced(text: &mut String, inside: &str) {
    let longest = inside.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(text, "{fence}text\n{inside}\n{fence}\n");
}

fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "✓ passed",
        Conclusion::Failure => "✗ failed",
        Conclusion::Cancelled => "! cancelled",
        Conclusion::Skipped => "– skipped",
    }
}

/// Text that stays inside a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}
