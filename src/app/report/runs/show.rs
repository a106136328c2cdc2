//! One run in full: its rows as they were live, then what it measured and kept.

use crate::app::report::terminal::{LastLines, Plain};
use crate::app::report::{InstanceState, InstanceView, RunView, Style, bytes, duration, metric};
use serde_json::{Value as Json, json};
use tidegate_flow::job::{ArtifactRef, Conclusion};
use tidegate_flow::run::{Millis, RunEvent};

/// Tells whether an artifact is not in the store any more.
pub type Gone<'a> = dyn Fn(&ArtifactRef) -> bool + 'a;

/// Writes a run from its events. `view` has taken none of them in yet; `running` tells whether its
/// owner lives; `now` is what waits are counted to.
pub fn show(
    mut view: RunView,
    events: &[RunEvent],
    running: bool,
    now: Millis,
    style: Style,
    lines: &LastLines,
    gone: &Gone,
) -> String {
    let (mut rows, mut text) = (Plain::folded(style), String::new());
    let mut ending = String::new();
    for event in events {
        view.apply(event);
        let said = rows.event(&view, event, lines);
        if view.summary.is_some() { ending.push_str(&said) } else { text.push_str(&said) }
    }
    for instance in
        view.instances.iter().filter(|instance| !matches!(instance.state, InstanceState::Ended(_)))
    {
        let step = instance.step().map(|step| format!(", step `{}`", step.name)).unwrap_or_default();
        let since = instance.waited(now).filter(|_| running).map(|ms| format!(", for {}", duration(ms)));
        let waits =
            instance.waiting.as_ref().map(|reason| format!("{}, waits: {reason}", since.unwrap_or_default()));
        let waits = waits.unwrap_or_default();
        let state = match instance.state {
            InstanceState::Running => format!("attempt {}{step}{waits}", instance.attempt),
            InstanceState::Retrying => "waits to be tried again".to_owned(),
            _ => "waits".to_owned(),
        };
        text.push_str(&format!("  … {}   {}\n", name(&view, instance), style.dim(&state)));
    }
    text.push_str(&kept(&view, style, gone));
    if view.summary.is_some() {
        return text + &ending;
    }
    let number = view.created.number;
    text + &if running {
        format!(
            "\nrunning\n{}\n",
            style.dim(&format!(
                "{} · {}",
                view.next(&format!("runs watch {number}")),
                view.next(&format!("runs cancel {number}"))
            ))
        )
    } else {
        format!(
            "\ninterrupted: its engine is gone\n{}\n",
            style.dim(&view.next(&format!("run --resume {number}")))
        )
    }
}

/// Metrics, parameters and artifacts, a line for each instance that has some.
fn kept(view: &RunView, style: Style, gone: &Gone) -> String {
    let mut text = String::new();
    for instance in &view.instances {
        let Some(receipt) = &instance.receipt else { continue };
        let mut parts: Vec<String> =
            receipt.metrics.iter().map(|(name, value)| format!("{name}={}", number(value))).collect();
        parts.extend(
            receipt.params.iter().map(|(name, value)| style.dim(&format!("{name}={}", number(value)))),
        );
        let artifacts = receipt.artifacts.iter().chain(&receipt.uploads);
        parts.extend(artifacts.map(|(name, artifact)| {
            let digest: String = artifact.digest.chars().take(8).collect();
            let gone = if gone(artifact) { ", collected" } else { "" };
            format!("{name} ({}, {digest}{gone})", bytes(artifact.size))
        }));
        let images = receipt.images.iter();
        parts.extend(images.map(|(container, image)| style.dim(&format!("{container}={}", short(image)))));
        if !parts.is_empty() {
            text.push_str(&format!("    {}: {}\n", name(view, instance), parts.join("  ")));
        }
    }
    if text.is_empty() { text } else { format!("\n  {}\n{text}", style.name("measured and kept")) }
}

/// An image with the start of its digest.
fn short(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.chars().take(12).collect::<String>()),
        None => image.to_owned(),
    }
}

fn number(value: &Json) -> String {
    match value {
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), metric),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn name(view: &RunView, instance: &InstanceView) -> String {
    let job = view.jobs.get(instance.job as usize).map_or("", |job| job.declared.id.as_str());
    let matrix = instance.matrix_text(", ");
    if matrix.is_empty() { job.to_owned() } else { format!("{job} ({matrix})") }
}

/// Returns a run as JSON: jobs with their instances.
pub fn show_json(view: &RunView, running: bool, gone: &Gone) -> Json {
    let word = |conclusion: Option<Conclusion>| conclusion.map_or(Json::Null, |conclusion| json!(conclusion));
    let instance = |instance: &InstanceView| {
        let state = match instance.state {
            InstanceState::Waiting => json!("waiting"),
            InstanceState::Running => json!("running"),
            InstanceState::Retrying => json!("retrying"),
            InstanceState::Ended(conclusion) => json!(conclusion),
        };
        let steps: Vec<Json> = instance
            .steps
            .iter()
            .map(|step| {
                json!({
                    "index": step.index, "name": step.name, "started": step.started, "ended": step.ended,
                    "conclusion": word(step.conclusion), "reason": step.reason,
                })
            })
            .collect();
        let kept =
            instance.receipt.iter().flat_map(|receipt| receipt.artifacts.iter().chain(&receipt.uploads));
        let collected: Vec<&String> =
            kept.filter(|(_, artifact)| gone(artifact)).map(|(name, _)| name).collect();
        json!({
            "display": instance.display(), "matrix": instance.matrix(), "state": state, "outcome": word(instance.outcome),
            "attempt": instance.attempt, "uncounted": instance.uncounted, "started": instance.started, "ended": instance.ended,
            "taken_from": instance.taken_from, "reason": instance.reason, "waiting": instance.waiting, "waiting_since": instance.waiting_since, "steps": steps,
            "verdicts": instance.verdicts, "annotations": instance.annotations, "receipt": instance.receipt,
            "collected": collected,
        })
    };
    let jobs: Vec<Json> = view.jobs.iter().map(|job| json!({
        "id": job.declared.id, "display": job.declared.display, "result": word(job.result), "reason": job.reason,
        "instances": view.instances_of(job).map(|(_, view)| instance(view)).collect::<Vec<_>>(),
    })).collect();
    let created = &view.created;
    json!({
        "run": created.run, "number": created.number, "workflow": created.workflow, "name": created.name,
        "event": created.event, "commit": created.source.commit, "dirty": created.source.dirty,
        "rerun_of": created.rerun_of, "project": created.project, "began": view.began, "running": running, "cancelled": view.cancelled,
        "summary": view.summary, "jobs": jobs,
    })
}
