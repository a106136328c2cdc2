//! One job or instance in one row: sign, name, count, time, and the number that matters.

use crate::app::report::{
    InstanceState, InstanceView, JobView, RunView, Style, duration, metric, shown_name, verdict_lines,
};
use tidegate_flow::job::{Conclusion, Receipt};
use tidegate_flow::run::Millis;

/// Columns of names; longer ones push the rest to the right.
const NAME: usize = 22;

/// `digits · working tree (2 files changed since 4f2a91c) · run 7`.
pub fn header(view: &RunView, style: Style) -> String {
    let created = &view.created;
    let mut parts = vec![style.name(&shown_name(&created.name))];
    // One that is called after its store says nothing to people.
    if !created.project.is_empty() && !created.project.starts_with("store:") {
        parts.push(shown_name(&created.project));
    }
    let commit: String = created.source.commit.chars().take(7).collect();
    let branch = created.contexts.get("github").and_then(|g| g.get("ref_name")).and_then(|r| r.as_str());
    match (commit.is_empty(), created.source.dirty) {
        (true, _) => {}
        (false, false) => match branch {
            Some(branch) if !branch.is_empty() => parts.push(format!("{branch} at {commit}")),
            _ => parts.push(commit),
        },
        (false, true) => {
            let changed = created.options.get("changed").and_then(serde_json::Value::as_u64);
            parts.push(match changed {
                Some(1) => format!("working tree (1 file changed since {commit})"),
                Some(n) => format!("working tree ({n} files changed since {commit})"),
                None => format!("working tree, changed since {commit}"),
            });
        }
    }
    if created.event != "workflow_dispatch" {
        parts.push(created.event.clone());
    }
    parts.push(format!("run {}", created.number));
    parts.join(" · ")
}

/// The row of an instance that ended, with further lines under it.
pub fn instance(view: &RunView, instance: &InstanceView, style: Style) -> String {
    let InstanceState::Ended(conclusion) = instance.state else { return String::new() };
    let detail = details(instance, conclusion, style);
    let time = instance.elapsed(view.last);
    row(&style.sign(conclusion), &name(view, instance), "", time, &detail)
}

/// The row of a job: of its only instance, or folded over all of them.
pub fn job(view: &RunView, job: &JobView, style: Style) -> String {
    let Some(result) = job.result else { return String::new() };
    let all: Vec<&InstanceView> = view.instances_of(job).map(|(_, i)| i).collect();
    let sign = style.sign(result);
    match all.as_slice() {
        [] => {
            let reason = why_not(view, job);
            row(&sign, &shown_name(&job.declared.display), "", None, &[style.dim(&reason)])
        }
        [only] if only.matrix().is_null() => instance(view, only, style),
        several => {
            let good = several.iter().filter(|i| i.outcome == Some(Conclusion::Success)).count();
            let fold = format!("{good} of {}", several.len());
            row(
                &sign,
                &shown_name(&job.declared.display),
                &fold,
                span(several, view.last),
                &best_lines(several),
            )
        }
    }
}

/// Lays out a row; the second and later lines of `detail` stand under the first.
pub fn row(sign: &str, name: &str, fold: &str, time: Option<u64>, detail: &[String]) -> String {
    timed(sign, name, fold, &time.map(duration).unwrap_or_default(), detail)
}

/// Like [`row`], with the time as it is to be read.
pub fn timed(sign: &str, name: &str, fold: &str, time: &str, detail: &[String]) -> String {
    let width = if fold.is_empty() { NAME } else { NAME.saturating_sub(fold.chars().count() + 1).max(8) };
    let gap = if fold.is_empty() { String::new() } else { format!(" {fold}") };
    let head = format!("  {sign} {name:width$}{gap} {time:>7}");
    let mut text = match detail.first() {
        Some(first) if !first.is_empty() => format!("{head}   {first}\n"),
        _ => format!("{}\n", head.trim_end()),
    };
    for line in detail.iter().skip(1) {
        text.push_str(&" ".repeat(NAME + 15));
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What people call an instance: `train (svm, 0.1)`.
pub fn name(view: &RunView, instance: &InstanceView) -> String {
    if instance.display().is_empty() {
        let job = view.jobs.get(instance.job as usize);
        return job.map(|job| shown_name(&job.declared.display)).unwrap_or_default();
    }
    shown_name(instance.display())
}

/// `best accuracy 0.975: model=forest c=1.0`, a line for each metric with a goal.
pub fn best_lines(instances: &[&InstanceView]) -> Vec<String> {
    let Some(receipt) = instances.iter().find_map(|i| i.receipt.as_ref().filter(|r| !r.goals.is_empty()))
    else {
        return Vec::new();
    };
    receipt
        .goals
        .iter()
        .filter_map(|(name, goal)| {
            let (best, value) = best(instances, name, goal == "min")?;
            Some(format!("best {name} {}: {}", metric(value), best.matrix_text(" ")))
        })
        .collect()
}

/// The instance with the best value among those that succeeded; ties go to the first.
fn best<'a>(instances: &[&'a InstanceView], name: &str, least: bool) -> Option<(&'a InstanceView, f64)> {
    let mut found: Option<(&InstanceView, f64)> = None;
    for instance in instances.iter().filter(|i| i.outcome == Some(Conclusion::Success)) {
        let value =
            instance.receipt.as_ref().and_then(|r| r.metrics.get(name)).and_then(serde_json::Value::as_f64);
        let Some(value) = value.filter(|v| v.is_finite()) else { continue };
        if found.is_none_or(|(_, b)| if least { value < b } else { value > b }) {
            found = Some((instance, value));
        }
    }
    found
}

fn details(instance: &InstanceView, conclusion: Conclusion, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &instance.reason {
        lines.push(reason.clone());
    }
    if instance.taken_from.is_some() {
        lines.push(style.dim(if instance.adopted { "taken over" } else { "from cache" }));
    }
    if conclusion == Conclusion::Success && instance.attempt > 1 {
        lines.push(format!("on attempt {}", instance.attempt));
    }
    if instance.outcome == Some(Conclusion::Failure) && conclusion == Conclusion::Success {
        let reason = instance.receipt.as_ref().and_then(|r| r.reason.clone()).unwrap_or_default();
        lines.push(format!("failed, as `continue-on-error` allows: {reason}"));
    }
    if conclusion == Conclusion::Cancelled
        && let Some(reason) = instance.receipt.as_ref().and_then(|r| r.reason.clone())
    {
        lines.push(reason);
    }
    if conclusion == Conclusion::Cancelled && instance.attempt == 0 {
        lines.push("cancelled before it started".to_owned());
    }
    if conclusion == Conclusion::Success {
        for verdict in &instance.verdicts {
            lines.extend(verdict_lines(verdict, style));
        }
        if instance.verdicts.is_empty() {
            lines.extend(instance.receipt.as_deref().and_then(metrics));
        }
    }
    lines
}

/// The first metrics in one line.
fn metrics(receipt: &Receipt) -> Option<String> {
    const SHOWN: usize = 4;
    let all: Vec<String> = receipt
        .metrics
        .iter()
        .map(|(name, value)| match value.as_f64() {
            Some(number) => format!("{name} {}", metric(number)),
            None => format!("{name} {value}"),
        })
        .collect();
    let mut text = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text = format!("{text}, {} more", all.len() - SHOWN);
    }
    (!all.is_empty()).then_some(text)
}

/// Says why a job has no instance: its own `if`, or a job it needs.
pub fn why_not(view: &RunView, job: &JobView) -> String {
    let Some(result) = job.result else { return String::new() };
    if let Some(reason) = &job.reason {
        return if result == Conclusion::Skipped { format!("skipped: {reason}") } else { reason.clone() };
    }
    let culprit = job.declared.needs.iter().filter_map(|n| view.jobs.get(*n as usize)).find_map(|needed| {
        Some(match needed.result? {
            Conclusion::Success => return None,
            Conclusion::Failure => format!("{} failed", needed.declared.display),
            Conclusion::Cancelled => format!("{} was cancelled", needed.declared.display),
            Conclusion::Skipped => format!("{} was skipped", needed.declared.display),
        })
    });
    match (result, culprit, &view.cancelled) {
        (Conclusion::Skipped, Some(culprit), _) => format!("skipped: {culprit}"),
        (Conclusion::Cancelled, _, Some(who)) => format!("cancelled: {who}"),
        (Conclusion::Cancelled, ..) => "cancelled".to_owned(),
        (Conclusion::Skipped, ..) => "skipped".to_owned(),
        _ => String::new(),
    }
}

/// From the first start to the last end.
fn span(instances: &[&InstanceView], now: Millis) -> Option<u64> {
    let first = instances.iter().filter_map(|i| i.started).min()?;
    let last = instances.iter().map(|i| i.ended.unwrap_or(now)).max()?;
    u64::try_from(last.0 - first.0).ok()
}
