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
    for group in groups(&answer.instances) {
        let Some(first) = group.first() else { continue };
        let name = match group.as_slice() {
            [only] if only.matrix.is_empty() => answer.job.clone(),
            [only] => format!("{} ({})", answer.job, only.matrix),
            many if many.len() == answer.instances.len() => format!("{} × {}", answer.job, many.len()),
            [_, rest @ ..] => {
                let more = if rest.len() == 1 { "1 more".to_owned() } else { format!("{} more", rest.len()) };
                format!("{} ({}, and {more})", answer.job, first.matrix)
            }
            [] => continue,
        };
        text.push_str(&one(&name, first, run, style));
        if matches!(&first.origin, Origin::Waits { behind: None }) && first.conclusion.is_none() {
            text.push_str(&needs(answer, style));
        }
    }
    text
}

/// Instances of which the same is to be said, in matrix order.
fn groups(instances: &[InstanceAnswer]) -> Vec<Vec<&InstanceAnswer>> {
    let mut groups: Vec<Vec<&InstanceAnswer>> = Vec::new();
    for instance in instances {
        let alike = |other: &InstanceAnswer| {
            let bare = |one: &InstanceAnswer| InstanceAnswer { matrix: String::new(), ..one.clone() };
            let good = instance.conclusion != Some(Conclusion::Failure);
            let (mut a, mut b) = (bare(instance), bare(other));
            if good {
                // The numbers of gates that hold are not part of the answer.
                (a.verdicts, b.verdicts) = (Vec::new(), Vec::new());
            }
            a == b
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| alike(first))) {
            Some(group) => group.push(instance),
            None => groups.push(vec![instance]),
        }
    }
    groups
}

fn needs(answer: &Answer, style: Style) -> String {
    let row = |(name, result): &(String, Option<Conclusion>)| match result {
        Some(Conclusion::Success) => String::new(),
        None if answer.reason.is_some() => String::new(),
        Some(result) => format!("  {} {name} {}\n", style.sign(*result), word(*result)),
        None => format!("  … {name} has not ended\n"),
    };
    answer.needs.iter().map(row).collect()
}

fn one(name: &str, instance: &InstanceAnswer, run: u64, style: Style) -> String {
    let name = style.name(name);
    let mut text = match &instance.origin {
        Origin::Waits { .. } if instance.conclusion == Some(Conclusion::Cancelled) => {
            format!("{name} was cancelled in run {run} before it started\n")
        }
        Origin::Waits { .. } if instance.conclusion.is_some() => {
            format!("{name} could not start in run {run}\n")
        }
        Origin::Waits { behind: Some(what) } => format!("{name} waits in run {run} for {what}\n"),
        Origin::Waits { behind: None } => format!("{name} has not started in run {run}\n"),
        Origin::Uncached => format!("{name} ran in run {run}: it has no `cache`, so it always runs\n"),
        Origin::FirstTime => {
            format!("{name} ran in run {run}: no earlier run of this workflow had a key for it\n")
        }
        Origin::Changed { from, parts, same } => changed(&name, run, *from, parts, same, style),
        Origin::Ungated { reason } => {
            format!("{name} ran in run {run} although it is in the cache: {reason}\n")
        }
        Origin::Cached { from } => {
            format!("{name} came from the cache in run {run}: done in run {from} with the same key\n")
        }
        Origin::Adopted { from } => {
            format!("{name} was taken over from run {from}, which run {run} reruns\n")
        }
    };
    if matches!(instance.origin, Origin::Cached { .. }) && !instance.verdicts.is_empty() {
        text.push_str("its gate was judged again:\n");
        for line in instance.verdicts.iter().flat_map(|verdict| verdict_lines(verdict, style)) {
            text.push_str(&format!("  {line}\n"));
        }
    }
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
    let indent = " ".repeat(width + 5);
    for part in parts {
        let lines = match part.details.as_slice() {
            [] => vec![format!("{} → {}", short(&part.before), short(&part.now))],
            lines => lines.to_vec(),
        };
        for (at, line) in lines.iter().enumerate() {
            let title = if at == 0 { format!("  {:width$}   ", part.part) } else { indent.clone() };
            text.push_str(format!("{title}{line}").trim_end());
            text.push('\n');
        }
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
    let attempts = match (instance.attempts, instance.uncounted) {
        (0 | 1, _) => String::new(),
        (all, 0) => format!(" after {all} attempts"),
        (all, other) => format!(" after {all} attempts, {other} of which do not count"),
    };
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
