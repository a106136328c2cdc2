//! The last lines of a run: how it ended, what it took, and the next commands.

use super::failure;
use crate::app::report::{InstanceState, RunView, Style, bytes, count, duration};
use tidegate_flow::job::Conclusion;

/// Writes how the run ended, and what to type next.
pub fn ending(view: &RunView, style: Style) -> String {
    let Some(summary) = &view.summary else { return String::new() };
    let took = duration(summary.duration_ms);
    let mut parts = vec![if summary.gate {
        style.bad(&format!("stopped by a gate in {took}"))
    } else {
        match summary.conclusion {
            Conclusion::Success => style.good(&format!("passed in {took}")),
            Conclusion::Failure if summary.tool_failure => {
                style.bad(&format!("could not be finished after {took}"))
            }
            Conclusion::Failure => style.bad(&format!("failed in {took}")),
            Conclusion::Cancelled => {
                let who = view.cancelled.as_deref().map(|w| format!(" ({w})")).unwrap_or_default();
                style.again(&format!("cancelled after {took}{who}"))
            }
            Conclusion::Skipped => style.dim("nothing ran"),
        }
    }];
    let [good, bad, ..] = summary.counts;
    let all: u32 = summary.counts.iter().sum();
    let instances =
        if all == 1 { "1 instance".to_owned() } else { format!("{} instances", count(all.into())) };
    parts.push(match (bad, summary.cached) {
        (0, 0) => instances,
        (0, cached) => format!("{instances}, {} from cache", count(cached.into())),
        (bad, _) => format!("{} good, {} failed of {instances}", count(good.into()), count(bad.into())),
    });
    if summary.artifact_bytes > 0 {
        parts.push(format!("{} of artifacts", bytes(summary.artifact_bytes)));
    }
    format!("\n{}\n{}\n", parts.join(" · "), style.dim(&next_commands(view).join(" · ")))
}

fn next_commands(view: &RunView) -> Vec<String> {
    let number = view.created.number;
    let failed = view.instances.iter().find(|i| i.state == InstanceState::Ended(Conclusion::Failure));
    let mut commands = Vec::new();
    let gate = view.summary.as_ref().is_some_and(|s| s.gate);
    match view.earlier.filter(|_| gate) {
        Some(earlier) => commands.push(view.next(&format!("runs diff {earlier} {number}"))),
        None => commands.push(view.next(&format!("runs show {number}"))),
    }
    if let Some(instance) = failed.filter(|i| i.attempt > 0) {
        commands.push(failure::logs(view, instance));
        if !gate {
            commands.push(view.next(&format!("runs rerun {number} --failed")));
        }
    } else if let Some(job) = view.jobs.iter().find(|j| j.result == Some(Conclusion::Skipped)) {
        commands.push(view.next(&format!("why {}", quoted(&job.declared.id))));
    }
    commands
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
