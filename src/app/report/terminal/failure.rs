//! A failed instance: class, step, last lines, and where all of it is.

use super::{LastLines, row};
use crate::app::report::{InstanceView, RunView, Style, duration, verdict_lines};
use tidegate_flow::gate::Outcome;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Lines of output that are shown.
const LAST: usize = 12;

/// Writes what an instance failed of.
pub fn failure(
    view: &RunView,
    index: u32,
    instance: &InstanceView,
    style: Style,
    lines: &LastLines,
) -> String {
    let sign = style.sign(Conclusion::Failure);
    let name = row::name(view, instance);
    let mut text = match instance.class() {
        Some(FailureClass::Gate) => {
            row::row(&sign, &name, "", instance.elapsed(view.last), &["stopped by a gate".to_owned()])
        }
        _ => row::row(&sign, &name, "", instance.elapsed(view.last), &[headline(instance)]),
    };
    for verdict in instance.verdicts.iter().filter(|v| v.outcome != Outcome::Pass) {
        for line in verdict_lines(verdict, style) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    for annotation in instance.annotations.iter().filter(|a| a.level == "error").take(5) {
        let place = match (&annotation.file, annotation.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            _ => String::new(),
        };
        text.push_str(&format!("    {}{place}{}\n", style.bad("error: "), annotation.message));
    }
    let failed = instance.steps.iter().rev().find(|s| s.conclusion == Some(Conclusion::Failure));
    if let Some(step) = failed.or(instance.steps.last())
        && instance.class() != Some(FailureClass::Gate)
    {
        for line in lines(index, instance.attempt, step.log.0, step.log.1).iter().rev().take(LAST).rev() {
            text.push_str(&format!("    {} {line}\n", style.dim("│")));
        }
    }
    if instance.attempt > 0 && instance.class() != Some(FailureClass::Gate) {
        text.push_str(&format!("    {}\n", style.dim(&format!("all of it: {}", logs(view, instance)))));
    }
    text
}

/// Writes that an instance will be tried again.
pub fn retry(view: &RunView, instance: &InstanceView, wait_ms: u64, infra: bool, style: Style) -> String {
    let mut said = format!("{}: {}", attempts(instance), headline(instance));
    if infra {
        said.push_str("; does not count as an attempt");
    }
    said.push_str(&if wait_ms < 100 {
        "; again now".to_owned()
    } else {
        format!("; again in {}", duration(wait_ms))
    });
    row::row(&style.again("↻"), &row::name(view, instance), "", None, &[said])
}

/// The command that shows an instance's whole log.
pub fn logs(view: &RunView, instance: &InstanceView) -> String {
    let job = view.jobs.get(instance.job as usize).map(|j| j.declared.id.as_str()).unwrap_or_default();
    let matrix = instance.matrix_text(",");
    let matrix = if matrix.is_empty() { matrix } else { format!(" --matrix {matrix}") };
    format!("tidegate runs logs {} {job}{matrix}", view.created.number)
}

fn attempts(instance: &InstanceView) -> String {
    format!("attempt {} of {}", instance.attempt, instance.attempts_allowed.max(instance.attempt))
}

/// `failure: exit 1 in step fit`.
fn headline(instance: &InstanceView) -> String {
    let Some(receipt) = &instance.receipt else {
        return instance.reason.clone().unwrap_or_else(|| "failed".to_owned());
    };
    let class = receipt.class.map_or("failure", FailureClass::word);
    let reason =
        receipt.reason.clone().or_else(|| receipt.exit.map(|e| format!("exit {e}"))).unwrap_or_default();
    let step = receipt.failed_step.and_then(|n| instance.steps.iter().find(|s| s.index == n));
    let place = match step {
        Some(step) if !reason.contains(&step.name) => format!(" in step `{}`", step.name),
        _ => String::new(),
    };
    let again =
        if instance.attempts_allowed > 1 { format!("{}: ", attempts(instance)) } else { String::new() };
    if reason.is_empty() {
        format!("{again}{class}{place}")
    } else {
        format!("{again}{class}: {reason}{place}")
    }
}
