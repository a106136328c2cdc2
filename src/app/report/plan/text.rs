//! A plan for people.

use super::{table, words};
use crate::app::report::{Style, one_line};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tidegate_flow::plan::{Absent, Fate, Plan, PlannedJob, PlannedStep};
use tidegate_flow::trigger::Decision;

/// Columns of a job's name.
const TITLE: usize = 60;

/// Longest command that is shown whole.
const COMMAND: usize = 100;

/// Writes plans one after the other.
pub fn text(plans: &[Plan], style: Style) -> String {
    let mut out = String::new();
    for plan in plans {
        one(plan, style, &mut out);
    }
    harmless(&out, style)
}

/// Takes out what text from a file may have besides letters, line by line; the colours are ours.
fn harmless(text: &str, style: Style) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for (at, piece) in text.split('\x1b').enumerate() {
        let (code, rest) = piece.split_once('m').unwrap_or(("", piece));
        let ours = at > 0 && style.color && matches!(code, "[0" | "[1" | "[2" | "[31" | "[32" | "[33");
        if ours {
            out.push_str(&format!("\x1b{code}m"));
        } else if at > 0 {
            out.push(' ');
        }
        out.push_str(&if ours { rest } else { piece }.replace(steers, " "));
    }
    out
}

fn one(plan: &Plan, style: Style, out: &mut String) {
    let file = style.name(plan.workflow.rsplit('/').next().unwrap_or(&plan.workflow));
    match &plan.decision {
        Decision::NoStart(no) => {
            let _ = writeln!(out, "{file} does not start: {}", no.words);
        }
        Decision::Refused { problems } => {
            let _ = writeln!(out, "{file} {}: {}", style.bad("is refused"), problems.join("; "));
        }
        Decision::Start(start) => {
            let _ = writeln!(out, "{file} starts: {}", start.reasons.join(", "));
            if let Some(group) = &plan.concurrency {
                let how = if group.cancel_in_progress { ", and ends what runs in it" } else { "" };
                let _ = writeln!(out, "  in the concurrency group {}{how}", group.group);
            }
            absent(&plan.absent, "  ", style, out);
            for source in &plan.data {
                let said = match &source.problem {
                    Some(problem) => style.bad(problem),
                    None => words::source(source),
                };
                let _ = writeln!(out, "  data {}: {said}", style.name(&source.name));
            }
            let width = plan.jobs.iter().map(|job| title(job).chars().count()).max().unwrap_or(0);
            for planned in &plan.jobs {
                job(planned, width, style, out);
            }
            if let Some(estimate) = &plan.estimate {
                let _ = writeln!(out, "  {}", style.dim(&words::estimate(estimate)));
            }
        }
    }
}

fn job(planned: &PlannedJob, width: usize, style: Style, out: &mut String) {
    let title = title(planned);
    let pad = " ".repeat(width.saturating_sub(title.chars().count()));
    let word = format!("{:<10}", words::fate(planned));
    let word = match planned.fate {
        Fate::Runs => word,
        Fate::Cached { .. } => style.good(&word),
        Fate::Skipped { .. } => style.dim(&word),
        Fate::Depends { .. } => style.again(&word),
        Fate::Fails { .. } => style.bad(&word),
    };
    let indent = " ".repeat(width + 4);
    let mut said: Vec<String> =
        [words::reason(planned), words::gates(planned)].into_iter().flatten().collect();
    if said.is_empty() {
        said.extend(planned.calls.as_ref().map(|path| format!("calls {path}")));
    }
    let first = if said.is_empty() { String::new() } else { format!("  {}", said.remove(0)) };
    let _ = writeln!(out, "{}", format!("  {}{pad}  {word}{first}", style.name(&title)).trim_end());
    for more in said {
        let _ = writeln!(out, "{indent}            {more}");
    }
    if matches!(planned.fate, Fate::Skipped { .. }) {
        return;
    }
    if planned.instances.len() > 1 {
        for line in table::rows(planned) {
            let _ = writeln!(out, "{indent}  {line}");
        }
    } else if let Some(only) = planned.instances.first() {
        let [cpu, memory, gpu] = words::resources(&only.settings.resources);
        let asked: Vec<String> = [("cpu", cpu), ("memory", memory), ("gpu", gpu)]
            .into_iter()
            .filter(|(_, amount)| !amount.is_empty())
            .map(|(name, amount)| format!("{name} {amount}"))
            .collect();
        if !asked.is_empty() {
            let _ = writeln!(out, "{indent}  {}", asked.join(", "));
        }
    }
    for line in settings(planned) {
        let _ = writeln!(out, "{indent}  {line}");
    }
    for step in &planned.steps {
        if let Some(line) = step_line(step) {
            let _ = writeln!(out, "{indent}  {}", style.dim(&line));
        }
    }
    for later in &planned.later {
        let _ = writeln!(out, "{indent}  {} is known later: {}", later.key, bare(&later.expression));
    }
    absent(&planned.absent, &format!("{indent}  "), style, out);
    let said: Vec<String> =
        planned.absent.iter().map(|part| format!("`{}`: {}", part.key, part.words)).collect();
    let notes: BTreeSet<&String> = planned.instances.iter().flat_map(|one| &one.settings.notes).collect();
    for note in notes.into_iter().filter(|note| !said.contains(note)) {
        let _ = writeln!(out, "{indent}  {} {note}", style.again("note:"));
    }
}

fn title(planned: &PlannedJob) -> String {
    one_line(&words::title(planned), TITLE)
}

/// Settings that are the same for all instances and not what everybody has.
fn settings(planned: &PlannedJob) -> Vec<String> {
    let Some(first) = planned.instances.first() else {
        return Vec::new();
    };
    let settings = &first.settings;
    let mut lines = Vec::new();
    if let Some(most) = planned.max_parallel.filter(|_| planned.instances.len() > 1) {
        lines.push(format!(
            "at most {most} at once{}",
            if planned.fail_fast { "" } else { ", all of them whatever fails" }
        ));
    }
    lines.extend(words::pod(&settings.pod));
    if settings.retry.attempts > 1 {
        lines.push(format!(
            "up to {} attempts after {}",
            settings.retry.attempts,
            settings.retry.on.join(", ")
        ));
    }
    if let Some(environment) = &settings.environment {
        lines.push(format!("environment {environment}"));
    }
    lines.extend(words::consumed(planned));
    lines
}

/// One line for a step; gates are told with the job.
fn step_line(step: &PlannedStep) -> Option<String> {
    let condition =
        step.condition.as_ref().map_or_else(String::new, |given| format!("  (if {})", bare(given)));
    let shown = match step.kind {
        "gate" => return None,
        "run" => {
            let mut lines = step.text.trim().lines();
            let first = lines.next().unwrap_or_default();
            let more = lines.count();
            let more = if more == 0 { String::new() } else { format!("  … {more} more lines") };
            format!("$ {}{more}", one_line(first, COMMAND))
        }
        "uses" => step.text.clone(),
        kind => format!("{kind} {}", step.text).trim_end().to_owned(),
    };
    Some(format!("{shown}{condition}"))
}

/// An expression without its `${{ }}`, where it is only one.
fn bare(expression: &str) -> &str {
    let trimmed = expression.trim();
    let inner = trimmed.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    inner.filter(|inner| !inner.contains("${{")).unwrap_or(trimmed).trim()
}

fn absent(parts: &[Absent], indent: &str, style: Style, out: &mut String) {
    for part in parts.iter().filter(|part| !part.blocking) {
        let head = if part.here { "not here:" } else { "not there yet:" };
        let _ = writeln!(out, "{indent}{} `{}`: {}", style.again(head), part.key, part.words);
    }
}
