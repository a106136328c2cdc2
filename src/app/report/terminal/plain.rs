//! One plain line per event: for pipes, files and CI.

use super::{LastLines, ending, failure, row};
use crate::app::report::{InstanceState, RunView, Style};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::{EventKind, InstanceSettings, RunEvent};

/// Writes events as they come.
#[derive(Debug, Default)]
pub struct Plain {
    style: Style,
    /// Matrix rows are folded into their job's row, failures aside; starts are not told.
    folded: bool,
    /// Notes that were said; the same is true for most jobs.
    notes: BTreeSet<String>,
    /// Waits that were said, by job and attempt: hundreds of instances may wait for the same.
    waits: BTreeSet<(u32, u32, String)>,
    /// Failed instances of each job so far.
    failures: BTreeMap<u32, u32>,
}

/// Failed instances of a job that are told with their last lines; more get a row each.
const WHOLE: u32 = 5;

impl Plain {
    /// Tells everything.
    pub fn new(style: Style) -> Self {
        Self { style, ..Self::default() }
    }

    /// Tells only what stays on a terminal above a live display.
    pub fn folded(style: Style) -> Self {
        Self { style, folded: true, ..Self::default() }
    }

    /// Returns what to write about an event that `view` has taken in.
    pub fn event(&mut self, view: &RunView, event: &RunEvent, lines: &LastLines) -> String {
        let style = self.style;
        match &event.kind {
            EventKind::RunCreated(_) => format!("{}\n\n", row::header(view, style)),
            EventKind::EngineStarted { epoch, .. } if *epoch > 1 => {
                format!("  {} taken up again\n", style.again("↻"))
            }
            EventKind::CancelRequested { reason, force } => {
                let how = if *force { "ending at once" } else { "cancelling" };
                format!("  {} {how}: {reason}\n", style.again("!"))
            }
            EventKind::JobEnded { job, .. } => {
                let Some(job) = view.jobs.get(job.0 as usize) else { return String::new() };
                let one = matches!(job.instances.as_slice(), [i] if view.instances.get(*i as usize).is_some_and(|i| i.matrix().is_null()));
                // An only instance was told when it ended.
                if one { String::new() } else { row::job(view, job, style) }
            }
            EventKind::RunEnded(_) => ending(view, style),
            kind => match view.instance(kind) {
                Some((index, instance)) => self.instance(view, index, instance, event, lines),
                None => String::new(),
            },
        }
    }

    /// Says what was not said before: instances of a job have much in common.
    fn noted(&mut self, notes: &[String]) -> String {
        let new: Vec<&String> = notes.iter().filter(|note| self.notes.insert((*note).clone())).collect();
        let line = |note: &&String| format!("    {}\n", self.style.dim(&format!("note: {note}")));
        new.iter().map(line).collect()
    }

    fn instance(
        &mut self,
        view: &RunView,
        index: u32,
        instance: &crate::app::report::InstanceView,
        event: &RunEvent,
        lines: &LastLines,
    ) -> String {
        let style = self.style;
        match &event.kind {
            EventKind::AttemptStarted { attempt, .. } if !self.folded => {
                let again =
                    if *attempt > 1 { format!("started, attempt {attempt}") } else { "started".to_owned() };
                row::row("…", &row::name(view, instance), "", None, &[style.dim(&again)])
            }
            EventKind::InstanceEvaluated { settings, .. } => match &**settings {
                InstanceSettings::Ready(ready) => self.noted(&ready.notes),
                InstanceSettings::Failed { .. } => String::new(),
            },
            EventKind::AttemptReady { notes, .. } => self.noted(notes),
            EventKind::AttemptWaiting { attempt, reason, .. }
                if !self.folded && self.waits.insert((instance.job, *attempt, reason.clone())) =>
            {
                row::row("…", &row::name(view, instance), "", None, &[style.dim(&format!("waits: {reason}"))])
            }
            EventKind::ServiceEnded { reason, .. } => row::row(
                &style.again("!"),
                &row::name(view, instance),
                "",
                None,
                std::slice::from_ref(reason),
            ),
            EventKind::RetryScheduled { due, infra, memory, .. } => {
                let wait_ms = u64::try_from(due.0 - event.at.0).unwrap_or(0);
                let again = failure::Again { wait_ms, infra: *infra, memory: *memory };
                failure::retry(view, instance, again, style)
            }
            EventKind::InstanceEnded { .. } => match instance.state {
                InstanceState::Ended(Conclusion::Failure) => {
                    let told = self.failures.entry(instance.job).or_default();
                    *told = told.saturating_add(1);
                    if *told > WHOLE {
                        failure::brief(view, instance, style)
                    } else {
                        failure::failure(view, index, instance, style, lines)
                    }
                }
                _ if self.folded && !instance.matrix().is_null() => String::new(),
                _ => row::instance(view, instance, style),
            },
            _ => String::new(),
        }
    }
}
