//! The answer as people read it.

use super::{Answer, InstanceAnswer, KeyPart, Origin};
use crate::app::report::{Style, verdict_lines};
use tidegate_flow::gate::Outcome;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Writes an answer.
pub fn text(answer: &Answer, style: Style) -> String {
    let (job, run) = (style.name(&answer.job), answer.run);
    let mut text = match (&answer.reason, answer.result) {
        (Some(reason), Some(Conclusion::Failure)) => {
            format!("{job} could not be evaluated in run {run}: {reason}\n")
        }
        (Some(reason), _) => format!("{job} was skipped in run {run}: {reason}\n"),
        (None, Some(Conclusion::Cancelled)) => format!("{job} was cancelled in run {run}\n"),
        (None, None) if answer.instances.is_empty() => format!("{job} has not started in run {run}\n"),
        (None, _) => String::new(),
    };
    if answer.instances.is_empty() {
        text.push_str(&needs(answer, style));
        return text;
    }
    match answer.instances.as_slice() {
        [only] => text.push_str(&one(&answer.job, only, run, style)),
        many => {
            for instance in many {
                let name = format!("{} ({})", answer.job, instance.matrix);
                text.push_str(&one(&name, instance, run, style));
            }
        }
    }
    text
}

fn needs(answer: &Answer, style: Style) -> String {
    let row = |(name, result): &(String, Option<Conclusion>)| match result {
        Some(Conclusion::Success) | None if answer.reason.is_some() => String::new(),
        Some(result) => format!("  {} {name} {}\n", style.sign(*result), word(*result)),
        None => format!("  … {name} has not ended\n"),
    };
    answer.needs.iter().map(row).collect()
}

fn one(name: &str, instance: &InstanceAnswer, run: u64, style: Style) -> String {
    let name = style.name(name);
    let mut text = match &instance.origin {
        Origin::Waits if instance.conclusion == Some(Conclusion::Cancelled) => {
            format!("{name} was cancelled in run {run} before it started\n")
        }
        Origin::Waits if instance.conclusion.is_some() => format!("{name} could not start in run {run}\n"),
        Origin::Waits => format!("{name} has not started in run {run}\n"),
        Origin::Uncached => format!("{name} ran in run {run}: it has no `cache`, so it always runs\n"),
        Origin::FirstTime => format!("{name} ran in run {run}: no earlier run of it is kept\n"),
        Origin::Changed { from, parts, same } => changed(&name, run, *from, parts, same, style),
        Origin::Cached { from } => {
            format!("{name} came from the cache in run {run}: done in run {from} with the same key\n")
        }
        Origin::Adopted { from } => {
            format!("{name} was taken over from run {from}, which run {run} reruns\n")
        }
    };
    if instance.conclusion == Some(Conclusion::Failure) {
        text.push_str(&failed(instance, style));
    }
    text
}

fn changed(name: &str, run: u64, from: u64, parts: &[KeyPart], same: &[String], style: Style) -> String {
    let mut text = match parts.len() {
        0 => {
            return format!(
                "{name} ran in run {run}: its key is that of run {from}, but nothing was kept there (it did not succeed)\n"
            );
        }
        1 => format!("{name} ran in run {run}: its key differs from run {from} in one part\n"),
        n => format!("{name} ran in run {run}: its key differs from run {from} in {n} parts\n"),
    };
    let width = parts.iter().map(|part| part.part.chars().count()).max().unwrap_or(0);
    for part in parts {
        let (before, now) = (short(&part.before), short(&part.now));
        text.push_str(&format!("  {:width$}   {before} → {now}\n", part.part));
    }
    if !same.is_empty() {
        text.push_str(&format!("  {}\n", style.dim(&format!("the same: {}", same.join(", ")))));
    }
    text
}

/// Digests by their first twelve characters; texts as they are.
fn short(value: &str) -> String {
    let digest = value.len() > 32 && value.chars().all(|c| c.is_ascii_hexdigit());
    if value.is_empty() {
        "none".to_owned()
    } else if digest {
        value.chars().take(12).collect()
    } else {
        value.to_owned()
    }
}

fn failed(instance: &InstanceAnswer, style: Style) -> String {
    let mut text = String::new();
    let class = instance.class.map_or("", FailureClass::word);
    let step = instance.step.as_ref().map(|step| format!(" in step `{step}`")).unwrap_or_default();
    let reason = instance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let attempts =
        if instance.attempts > 1 { format!(" after {} attempts", instance.attempts) } else { String::new() };
    text.push_str(
        &format!("  {} failed{attempts}, {class}{step}{reason}\n", style.sign(Conclusion::Failure))
            .replace(", :", ":"),
    );
    for verdict in instance.verdicts.iter().filter(|verdict| verdict.outcome != Outcome::Pass) {
        for line in verdict_lines(verdict, style) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text
}

fn word(result: Conclusion) -> &'static str {
    match result {
        Conclusion::Success => "succeeded",
        Conclusion::Failure => "failed",
        Conclusion::Cancelled => "was cancelled",
        Conclusion::Skipped => "was skipped",
    }
}
