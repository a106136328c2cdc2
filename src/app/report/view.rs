//! What the events of a run add up to, for people: jobs, instances, steps, times.
//!
//! Not here: policy. What the events do not say is not guessed.

use serde_json::Value as Json;
use std::sync::Arc;
use tidegate_flow::gate::Verdict;
use tidegate_flow::job::{Annotation, Conclusion, FailureClass, Receipt};
use tidegate_flow::run::{
    EventKind, InstanceDeclared, JobDeclared, JobEvaluation, Millis, RunCreated, RunEvent, RunSummary,
};

/// One run as far as its events tell.
#[derive(Clone, Debug, Default)]
pub struct RunView {
    /// The first event.
    pub created: Arc<RunCreated>,
    /// When it began.
    pub began: Millis,
    /// When the last event was.
    pub last: Millis,
    /// Jobs in order of declaration, of called workflows too.
    pub jobs: Vec<JobView>,
    /// Instances in order of declaration.
    pub instances: Vec<InstanceView>,
    /// Who wanted it to stop.
    pub cancelled: Option<String>,
    /// Its end.
    pub summary: Option<RunSummary>,
    /// How the next command starts where the person stands: `tidegate -C team/model`; empty:
    /// `tidegate`. No event says it; whoever shows the run sets it.
    pub program: String,
    /// How it ends, with a space before it: where the runs are, if that is not here.
    pub elsewhere: String,
    /// The run before this one of the same workflow, if whoever shows the run has looked.
    pub earlier: Option<u64>,
}

/// One job.
#[derive(Clone, Debug, Default)]
pub struct JobView {
    /// As declared.
    pub declared: Arc<JobDeclared>,
    /// Its instances, by position in [`RunView::instances`].
    pub instances: Vec<u32>,
    /// Why it was skipped or could not be evaluated.
    pub reason: Option<String>,
    /// Its result.
    pub result: Option<Conclusion>,
}

/// Where an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceState {
    /// Not started.
    #[default]
    Waiting,
    /// An attempt runs.
    Running,
    /// Between two attempts.
    Retrying,
    /// It has its result.
    Ended(Conclusion),
}

/// One instance.
#[derive(Clone, Debug, Default)]
pub struct InstanceView {
    /// Its job, by position in [`RunView::jobs`].
    pub job: u32,
    /// As declared: what people see, and its matrix values.
    pub declared: Arc<InstanceDeclared>,
    /// What people see since it was evaluated, where that is something else.
    pub named: Option<String>,
    /// Where it is.
    pub state: InstanceState,
    /// The current or last attempt, from 1; 0: none.
    pub attempt: u32,
    /// When its first attempt started.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Steps of the current or last attempt that started or ended.
    pub steps: Vec<StepView>,
    /// What gates and validations said in the current or last attempt.
    pub verdicts: Vec<Verdict>,
    /// What steps said about files.
    pub annotations: Vec<Annotation>,
    /// How the last attempt ended, or what the cache or an earlier run gave.
    pub receipt: Option<Arc<Receipt>>,
    /// The run it was taken from, by the cache or by `rerun`.
    pub taken_from: Option<String>,
    /// Why it ran although the cache had a receipt of it.
    pub not_taken: Option<String>,
    /// Whether `rerun` took it over, and not the cache.
    pub adopted: bool,
    /// Said at the top of the log.
    pub notes: Vec<String>,
    /// Why its attempt does not begin yet, or does not go on.
    pub waiting: Option<String>,
    /// Since when it waits, for this and what it waited for before that.
    pub waiting_since: Option<Millis>,
    /// When the current or last attempt started.
    pub attempt_started: Option<Millis>,
    /// When its agent was ready, if it came to that.
    pub attempt_ready: Option<Millis>,
    /// When it ended.
    pub attempt_ended: Option<Millis>,
    /// Bytes of memory of the current attempt; 0: not said.
    pub memory_bytes: u64,
    /// `retry.oom.memory-factor`, where `oom` is tried again; 1 or less keeps the memory.
    pub memory_factor: f64,
    /// Why it could not start.
    pub reason: Option<String>,
    /// Before `continue-on-error`.
    pub outcome: Option<Conclusion>,
    /// Attempts that may fail by themselves: `retry.attempts`.
    pub attempts_allowed: u32,
    /// Attempts that spent none of those: the infrastructure ended them, or they went with an engine.
    pub uncounted: u32,
    /// Times that it was tried again because of the infrastructure, this time included.
    pub infra: u32,
    /// How often it may be: `retry.infra`.
    pub infra_allowed: u32,
}

/// One step of an attempt.
#[derive(Clone, Debug, Default)]
pub struct StepView {
    /// Index from 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// When it started.
    pub started: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// How, after `continue-on-error`.
    pub conclusion: Option<Conclusion>,
    /// One line, if it failed.
    pub reason: Option<String>,
    /// Bytes of the attempt's log.
    pub log: (u64, u64),
}

impl RunView {
    /// Takes an event in.
    pub fn apply(&mut self, event: &RunEvent) {
        self.last = event.at;
        match &event.kind {
            EventKind::RunCreated(created) => {
                self.began = event.at;
                self.jobs = created.jobs.iter().map(JobView::of).collect();
                // Most jobs have one instance; doubled step by step, up to half of the room would stay empty.
                self.instances.reserve_exact(created.jobs.len());
                self.created = created.clone();
            }
            EventKind::JobsAdded { jobs, .. } => self.jobs.extend(jobs.iter().map(JobView::of)),
            EventKind::JobEvaluated { job, outcome } => self.job_evaluated(job.0, outcome),
            EventKind::JobEnded { job, result } => {
                if let Some(job) = self.jobs.get_mut(job.0 as usize) {
                    job.result = Some(*result);
                }
            }
            EventKind::CancelRequested { reason, .. } => self.cancelled = Some(reason.clone()),
            EventKind::RunEnded(summary) => self.summary = Some((**summary).clone()),
            kind => {
                if let Some(instance) = instance_of(kind)
                    && let Some(view) = self.instances.get_mut(instance as usize)
                {
                    view.apply(event.at, kind);
                }
            }
        }
    }

    /// Returns a command to type next.
    pub fn next(&self, command: &str) -> String {
        let program = if self.program.is_empty() { "tidegate" } else { &self.program };
        format!("{program} {command}{}", self.elsewhere)
    }

    /// Returns the instance an event is about.
    pub fn instance(&self, kind: &EventKind) -> Option<(u32, &InstanceView)> {
        let index = instance_of(kind)?;
        Some((index, self.instances.get(index as usize)?))
    }

    /// Returns a job's instances.
    pub fn instances_of<'a>(&'a self, job: &'a JobView) -> impl Iterator<Item = (u32, &'a InstanceView)> {
        job.instances.iter().filter_map(|i| Some((*i, self.instances.get(*i as usize)?)))
    }

    fn job_evaluated(&mut self, job: u32, outcome: &JobEvaluation) {
        let next = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
        let Some(view) = self.jobs.get_mut(job as usize) else { return };
        match outcome {
            JobEvaluation::Skipped { reason } | JobEvaluation::Failed { reason } => {
                view.reason = Some(reason.clone());
            }
            JobEvaluation::Instances { instances, .. } => {
                self.instances.reserve(instances.len());
                view.instances.reserve_exact(instances.len());
                for (i, declared) in (next..).zip(instances) {
                    view.instances.push(i);
                    self.instances.push(InstanceView {
                        job,
                        declared: declared.clone(),
                        attempts_allowed: 1,
                        ..InstanceView::default()
                    });
                }
            }
        }
    }
}

impl JobView {
    fn of(declared: &Arc<JobDeclared>) -> Self {
        Self { declared: declared.clone(), ..Self::default() }
    }
}

impl InstanceView {
    /// Returns what people see.
    pub fn display(&self) -> &str {
        self.named.as_ref().unwrap_or(&self.declared.display)
    }

    /// Returns its matrix values; null without a matrix.
    pub fn matrix(&self) -> &Json {
        &self.declared.matrix
    }

    /// Returns milliseconds from its first start to its end, or to `now`.
    pub fn elapsed(&self, now: Millis) -> Option<u64> {
        let started = self.started?;
        u64::try_from(self.ended.unwrap_or(now).0 - started.0).ok()
    }

    /// Returns milliseconds for which it has waited at `now`, if it waits.
    pub fn waited(&self, now: Millis) -> Option<u64> {
        u64::try_from(now.0 - self.waiting_since?.0).ok()
    }

    /// Returns milliseconds that its last attempt ran, without what it waited for a place; `None` if that never ended.
    pub fn ran(&self) -> Option<u64> {
        let began = self.attempt_ready.or(self.attempt_started)?;
        u64::try_from(self.attempt_ended?.0 - began.0).ok()
    }

    fn waits_no_more(&mut self) {
        self.waiting = None;
        self.waiting_since = None;
    }

    /// Returns the step that runs, or ran last.
    pub fn step(&self) -> Option<&StepView> {
        self.steps.last()
    }

    /// Returns the class of its failure.
    pub fn class(&self) -> Option<FailureClass> {
        self.receipt.as_ref().and_then(|r| r.class)
    }

    /// Returns its matrix values as `model=svm, c=0.1`; empty without a matrix.
    pub fn matrix_text(&self, between: &str) -> String {
        let Some(map) = self.matrix().as_object() else { return String::new() };
        let pairs = map.iter().map(|(k, v)| match v {
            Json::String(text) => format!("{k}={text}"),
            other => format!("{k}={other}"),
        });
        pairs.collect::<Vec<_>>().join(between)
    }

    fn apply(&mut self, at: Millis, kind: &EventKind) {
        match kind {
            EventKind::InstanceEvaluated { settings, .. } => self.evaluated(settings),
            EventKind::CacheAnswered { hit, verdicts, reason, .. } => {
                self.verdicts.clone_from(verdicts);
                self.not_taken.clone_from(reason);
                if let Some(hit) = hit {
                    self.taken_from = Some(hit.0.clone());
                    self.receipt = Some(Arc::new(tidegate_flow::run::judged_again(&hit.1, verdicts)));
                }
            }
            EventKind::Adopted { from, receipt, .. } => {
                self.taken_from = Some(from.clone());
                self.adopted = true;
                self.receipt = Some(receipt.clone());
            }
            EventKind::InstanceStopped { reason, .. } => self.reason = Some(reason.clone()),
            EventKind::AttemptStarted { attempt, .. } => {
                // The one before has no end: it went with its engine.
                let again = self.state == InstanceState::Running && *attempt > self.attempt;
                self.uncounted += u32::from(again);
                self.attempt = *attempt;
                self.state = InstanceState::Running;
                self.started.get_or_insert(at);
                self.attempt_started = Some(at);
                (self.attempt_ready, self.attempt_ended) = (None, None);
                self.waits_no_more();
                self.steps.clear();
                self.verdicts.clear();
                self.annotations.clear();
            }
            EventKind::AttemptReady { notes, .. } => {
                self.waits_no_more();
                self.attempt_ready = Some(at);
                self.notes.clone_from(notes);
            }
            EventKind::AttemptWaiting { reason, .. } => {
                self.waiting = Some(reason.clone());
                // It is told after some seconds; before its agent is there an attempt does nothing else.
                let since = self.attempt_started.filter(|_| self.attempt_ready.is_none()).unwrap_or(at);
                self.waiting_since.get_or_insert(since);
            }
            EventKind::StepStarted { .. } | EventKind::StepEnded { .. } => self.stepped(at, kind),
            EventKind::Annotated { annotation, .. } => self.annotations.push(annotation.clone()),
            EventKind::Judged { verdict, .. } => self.verdicts.push(verdict.clone()),
            EventKind::AttemptEnded { receipt, .. } => {
                self.waits_no_more();
                self.attempt_ended = Some(at);
                self.receipt = Some(receipt.clone());
            }
            EventKind::ImagesTold { attempt, images, .. } => {
                if let Some(receipt) = self.receipt.as_mut().filter(|_| self.attempt == *attempt) {
                    Arc::make_mut(receipt).images.clone_from(images);
                }
            }
            EventKind::RetryScheduled { infra, memory, step, .. } => {
                self.state = InstanceState::Retrying;
                self.memory_bytes = memory.filter(|_| step.is_none()).unwrap_or(self.memory_bytes);
                self.infra += u32::from(*infra);
                self.uncounted += u32::from(*infra);
            }
            EventKind::InstanceEnded { outcome, conclusion, .. } => {
                self.ended = Some(at);
                self.outcome = Some(*outcome);
                self.state = InstanceState::Ended(*conclusion);
                // Nothing is added any more, and a first step takes room for four.
                self.steps.shrink_to_fit();
            }
            _ => {}
        }
    }

    fn evaluated(&mut self, settings: &tidegate_flow::run::InstanceSettings) {
        match settings {
            tidegate_flow::run::InstanceSettings::Ready(ready) => {
                let other = !ready.display.is_empty() && ready.display != self.declared.display;
                self.named = other.then(|| ready.display.clone());
                self.memory_bytes = ready.resources.memory_bytes;
                let again = ready.retry.on.iter().any(|word| word == "oom" || word.starts_with("exit:"));
                self.memory_factor = if again { ready.retry.oom_memory_factor } else { 1.0 };
                self.attempts_allowed = ready.retry.attempts;
                self.infra_allowed = ready.retry.infra;
            }
            tidegate_flow::run::InstanceSettings::Failed { reason } => self.reason = Some(reason.clone()),
        }
    }

    fn stepped(&mut self, at: Millis, event: &EventKind) {
        match event {
            EventKind::StepStarted { step, name, log, .. } => self.steps.push(StepView {
                index: *step,
                name: name.clone(),
                started: at,
                log: (*log, *log),
                ..StepView::default()
            }),
            EventKind::StepEnded { step, name, conclusion, reason, log, .. } => {
                if self.steps.last().is_none_or(|s| s.index != *step) {
                    self.steps.push(StepView {
                        index: *step,
                        started: at,
                        log: (*log, *log),
                        ..StepView::default()
                    });
                }
                if let Some(view) = self.steps.last_mut() {
                    view.name.clone_from(name);
                    view.ended = Some(at);
                    view.conclusion = Some(*conclusion);
                    view.reason.clone_from(reason);
                    view.log.1 = *log;
                }
            }
            _ => {}
        }
    }
}

/// Returns the instance an event is about.
fn instance_of(kind: &EventKind) -> Option<u32> {
    Some(match kind {
        EventKind::InstanceEvaluated { instance, .. }
        | EventKind::CacheAnswered { instance, .. }
        | EventKind::Adopted { instance, .. }
        | EventKind::SlotGranted { instance, .. }
        | EventKind::InstanceStopped { instance, .. }
        | EventKind::AttemptStarted { instance, .. }
        | EventKind::AttemptReady { instance, .. }
        | EventKind::AttemptWaiting { instance, .. }
        | EventKind::ServiceEnded { instance, .. }
        | EventKind::StepStarted { instance, .. }
        | EventKind::StepEnded { instance, .. }
        | EventKind::Annotated { instance, .. }
        | EventKind::Judged { instance, .. }
        | EventKind::BaselineFetched { instance, .. }
        | EventKind::AttemptEnded { instance, .. }
        | EventKind::ImagesTold { instance, .. }
        | EventKind::RetryScheduled { instance, .. }
        | EventKind::InstanceEnded { instance, .. }
        | EventKind::AttemptCancelled { instance, .. } => instance.0,
        _ => return None,
    })
}
