//! Writes the summary.

use crate::app::report::terminal::ending;
use crate::app::report::{InstanceState, InstanceView, RunView, Style, duration, metric, verdict_lines};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Writes a run that ended: a table of its instances with their metrics, what gates said, what
/// failed, and the jobs' own summaries.
pub fn summary(view: &RunView) -> String {
    let mut text = format!("## {} · run {}\n\n", cell(&view.created.name), view.created.number);
    let _ = writeln!(text, "{}\n", ending(view, Style::default()).trim().lines().next().unwrap_or_default());
    table(&mut text, view);
    for instance in &view.instances {
        details(&mut text, instance);
    }
    text
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
            let reason = job.reason.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} {} | |{}",
                cell(&job.declared.display),
                job.result.map_or("", word),
                cell(reason),
                " |".repeat(names.len())
            );
        }
        for (_, instance) in view.instances_of(job) {
            let state = match instance.state {
                InstanceState::Ended(conclusion) => word(conclusion),
                _ => "not ended",
            };
            let took = instance.elapsed(view.last).map(duration).unwrap_or_default();
            let _ = write!(text, "| {} | {state} | {took} |", cell(&instance.display));
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

fn details(text: &mut String, instance: &InstanceView) {
    let lines: Vec<String> =
        instance.verdicts.iter().flat_map(|v| verdict_lines(v, Style::default())).collect();
    if !lines.is_empty() {
        let _ =
            writeln!(text, "**{}**: gate\n\n```text\n{}\n```\n", cell(&instance.display), lines.join("\n"));
    }
    let Some(receipt) = &instance.receipt else { return };
    if instance.state == InstanceState::Ended(Conclusion::Failure) {
        let class = receipt.class.map_or("failure", FailureClass::word);
        let reason = receipt.reason.as_deref().unwrap_or_default();
        let _ = writeln!(text, "**{}**: {class}: {}\n", cell(&instance.display), cell(reason));
    }
    if !receipt.summary.trim().is_empty() {
        let _ = writeln!(text, "### {}\n\n{}\n", cell(&instance.display), receipt.summary.trim_end());
    }
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
