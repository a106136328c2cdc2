//! What runs now, redrawn in place: under what has ended, a line for each job with its elapsed
//! time, matrix rows folded to a count with the best so far, and the last line of output, dimmed.

use super::{LastLines, Plain, row};
use crate::app::report::{InstanceState, InstanceView, JobView, RunView, Style, cut, duration, shown_name};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::{EventKind, Millis, RunEvent};

/// Jobs that are drawn at once; more are counted.
const SHOWN: usize = 8;

/// A live display on the terminal.
#[derive(Debug)]
pub struct Live {
    plain: Plain,
    style: Style,
    area: MultiProgress,
    /// One bar per drawn line, as many as were ever needed at once.
    lines: Vec<ProgressBar>,
    /// The last line of each instance, with its place in the order of all; none: it waits, as the view says.
    tails: BTreeMap<u32, (u64, Option<String>)>,
    said: u64,
    frame: usize,
}

impl Live {
    /// Starts with nothing drawn.
    pub fn new(style: Style) -> Self {
        Self {
            plain: Plain::folded(style),
            style,
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(20)),
            lines: Vec::new(),
            tails: BTreeMap::new(),
            said: 0,
            frame: 0,
        }
    }

    /// Takes an event in that `view` has taken in; what stays is written above the live lines.
    pub fn event(&mut self, view: &RunView, event: &RunEvent, lines: &LastLines) {
        match &event.kind {
            EventKind::AttemptWaiting { instance, .. } => self.last(instance.0, None),
            EventKind::AttemptReady { instance, .. } | EventKind::AttemptEnded { instance, .. } => {
                self.tails.remove(&instance.0);
            }
            _ => {}
        }
        let text = self.plain.event(view, event, lines);
        if view.summary.is_some() {
            self.clear();
        }
        if !text.is_empty() {
            // `println` of the area keeps the order of what is above and what is redrawn.
            for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
                let _ = self.area.println(line);
            }
        }
    }

    /// Takes in the last line an instance printed.
    pub fn tail(&mut self, instance: u32, line: &str) {
        self.last(instance, Some(line.chars().filter(|c| !c.is_control()).take(200).collect()));
    }

    fn last(&mut self, instance: u32, line: Option<String>) {
        self.said = self.said.saturating_add(1);
        self.tails.insert(instance, (self.said, line));
    }

    /// Draws what runs now, in so many columns.
    pub fn draw(&mut self, view: &RunView, now: Millis, columns: usize) {
        self.frame = self.frame.wrapping_add(1);
        let running: Vec<&JobView> = view
            .jobs
            .iter()
            .filter(|j| j.result.is_none() && view.instances_of(j).any(|(_, i)| active(i)))
            .collect();
        let mut texts: Vec<String> =
            running.iter().take(SHOWN).flat_map(|j| self.job(view, j, now)).collect();
        if running.len() > SHOWN {
            texts.push(self.style.dim(&format!("    and {} more jobs", running.len() - SHOWN)));
        }
        while self.lines.len() < texts.len() {
            let bar = self.area.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.lines.push(bar);
        }
        while self.lines.len() > texts.len() {
            if let Some(bar) = self.lines.pop() {
                bar.finish_and_clear();
                self.area.remove(&bar);
            }
        }
        for (bar, text) in self.lines.iter().zip(texts) {
            // A line that wraps cannot be redrawn.
            bar.set_message(cut(&text, columns.saturating_sub(1)));
            bar.tick();
        }
    }

    /// Takes everything that is redrawn away.
    pub fn clear(&mut self) {
        for bar in self.lines.drain(..) {
            bar.finish_and_clear();
            self.area.remove(&bar);
        }
        let _ = self.area.clear();
    }

    fn job(&self, view: &RunView, job: &JobView, now: Millis) -> Vec<String> {
        const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let spinner = SPINNER.get(self.frame % SPINNER.len()).copied().unwrap_or("·");
        let all: Vec<(u32, &InstanceView)> = view.instances_of(job).collect();
        let started = all.iter().filter_map(|(_, i)| i.started).min();
        let elapsed =
            started.and_then(|s| u64::try_from(now.0 - s.0).ok()).map(whole_seconds).unwrap_or_default();
        let first = all.iter().find(|(_, i)| active(i));
        let single = all.len() == 1;
        let ended = all.iter().filter(|(_, i)| matches!(i.state, InstanceState::Ended(_))).count();
        let failed = all.iter().filter(|(_, i)| i.state == InstanceState::Ended(Conclusion::Failure)).count();
        let fold = if single { String::new() } else { format!("{ended} of {}", all.len()) };
        let instances: Vec<&InstanceView> = all.iter().map(|(_, i)| *i).collect();
        let mut detail = Vec::new();
        if let (true, Some((_, only))) = (single, first) {
            // Before its first step it fetches what it needs, and may make a Python environment.
            let before = if only.waiting.is_some() { "waiting" } else { "getting ready" };
            detail.push(only.step().map_or_else(|| before.to_owned(), |step| step.name.clone()));
        }
        if failed > 0 {
            detail.push(self.style.bad(&format!("{failed} failed")));
        }
        if !single {
            detail.extend(row::best_lines(&instances).into_iter().take(1));
        }
        let spinner = self.style.again(spinner);
        let detail = [detail.join(", ")];
        let head = row::timed(&spinner, &shown_name(&job.declared.display), &fold, &elapsed, &detail);
        let tails =
            all.iter().filter(|(_, i)| active(i)).filter_map(|(index, i)| Some((self.tails.get(index)?, *i)));
        let tail = tails.max_by_key(|((when, _), _)| *when);
        let tail = tail.and_then(|((_, line), i)| line.clone().or_else(|| waits(i, now)));
        std::iter::once(head.trim_end().to_owned())
            .chain(tail.map(|t| self.style.dim(&format!("      {t}"))))
            .collect()
    }
}

/// `waiting 3m05s: no node has 2 nvidia.com/gpu free; …`.
fn waits(instance: &InstanceView, now: Millis) -> Option<String> {
    let reason: String = instance.waiting.as_ref()?.chars().filter(|c| !c.is_control()).collect();
    Some(format!("waiting {}: {reason}", whole_seconds(instance.waited(now)?)))
}

fn active(instance: &InstanceView) -> bool {
    matches!(instance.state, InstanceState::Running | InstanceState::Retrying)
}

/// Elapsed time without a fast digit, so that the eye rests.
fn whole_seconds(ms: u64) -> String {
    if ms < 60_000 { format!("{}s", ms / 1000) } else { duration(ms) }
}
