//! What to do next. Level-triggered: the same state gives the same commands, however often asked.

use super::{
    Command, EventKind, InstanceId, InstanceState, JobId, JobState, Millis, Phase, Run, retry, summary,
};
use crate::job::{Conclusion, FailureClass};
use std::collections::BTreeMap;

impl Run {
    /// Names everything that can be done now.
    pub fn decide(&self, now: Millis) -> Vec<Command> {
        self.decide_some(now, usize::MAX)
    }

    /// Like [`Run::decide`] with at most `slots` requests for slots of each kind, the first of them:
    /// who has room for ten does not ask for ten thousand.
    pub fn decide_some(&self, now: Millis, slots: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.ended || self.created.is_none() {
            return commands;
        }
        // Who wants the run to end does not wait for its turn.
        if self.cancel.is_none() && !self.groups.is_empty() {
            commands.extend(self.groups.iter().map(|who| Command::RequestGroup(*who)));
            return commands;
        }
        commands.extend(self.jobs_over.iter().filter_map(|id| self.job_over(*id)));
        commands.extend(self.jobs_ready.iter().map(|id| Command::EvaluateJob(*id)));
        commands.extend(self.busy.iter().filter_map(|id| self.busy_instance(*id, now)));
        for (due, id) in &self.due {
            if *due > now {
                break;
            }
            if !self.busy.contains(id) {
                commands.push(Command::RequestSlot(*id));
            }
        }
        for waiting in self.slots.values() {
            let free = waiting.iter().filter(|id| !self.busy.contains(id)).take(slots);
            commands.extend(free.map(|id| Command::RequestSlot(*id)));
        }
        if self.open_jobs == 0 {
            commands.push(Command::Record(EventKind::RunEnded(Box::new(summary::summary(self, now)))));
        }
        commands
    }

    pub(super) fn job_over(&self, id: JobId) -> Option<Command> {
        let job = self.job(id)?;
        let result = match &job.without {
            Some((result, _)) => *result,
            None => self.result_of(job),
        };
        Some(Command::Record(EventKind::JobEnded { job: id, result }))
    }

    /// Any failure, else any cancellation, else success; skipped if all were.
    fn result_of(&self, job: &JobState) -> Conclusion {
        let conclusions = || job.instances.iter().filter_map(|i| self.instance(*i)?.conclusion);
        let any = |wanted| conclusions().any(|c| c == wanted);
        if any(Conclusion::Failure) {
            Conclusion::Failure
        } else if any(Conclusion::Cancelled) {
            Conclusion::Cancelled
        } else if any(Conclusion::Success) {
            Conclusion::Success
        } else {
            Conclusion::Skipped
        }
    }

    pub(super) fn busy_instance(&self, id: InstanceId, now: Millis) -> Option<Command> {
        let instance = self.instance(id)?;
        if let Some((reason, force)) = self.stopping(id) {
            return self.stop(id, instance, reason, force, now);
        }
        match instance.phase {
            Phase::Declared => Some(Command::EvaluateInstance(id)),
            Phase::AskCache => Some(Command::AskCache(id)),
            Phase::NeedsSlot => Some(Command::RequestSlot(id)),
            Phase::Granted => Some(Command::StartAttempt { instance: id, attempt: instance.attempt + 1 }),
            Phase::AttemptOver => Some(self.attempt_over(id, instance, now)),
            Phase::NeedsJobs => Some(Command::AddJobs(id)),
            Phase::Calling if instance.inner_open == 0 => Some(Command::EndCall(id)),
            Phase::Calling | Phase::Running | Phase::WaitsRetry(_) | Phase::Ended => None,
        }
    }

    /// What an instance does that is to stop.
    fn stop(
        &self,
        id: InstanceId,
        instance: &InstanceState,
        reason: String,
        force: bool,
        now: Millis,
    ) -> Option<Command> {
        match instance.phase {
            Phase::Running => {
                // Told once, and once more if force was added.
                let told = instance.told.is_some_and(|by_force| by_force || !force);
                let attempt = instance.attempt;
                (!told).then_some(Command::CancelAttempt { instance: id, attempt, reason, force })
            }
            Phase::AttemptOver if instance.receipt.is_some() => Some(self.attempt_over(id, instance, now)),
            Phase::Calling if instance.inner_open == 0 => Some(Command::EndCall(id)),
            Phase::Calling | Phase::Ended => None,
            _ => Some(Command::Record(ended(id, Conclusion::Cancelled, Conclusion::Cancelled))),
        }
    }

    /// An attempt ended: again, or the end.
    fn attempt_over(&self, id: InstanceId, instance: &InstanceState, now: Millis) -> Command {
        let stopping = self.stopping(id).is_some();
        if !stopping && let Some(again) = retry::again(id, instance, now) {
            return Command::Record(again);
        }
        let outcome = match instance.receipt.as_deref() {
            // It was to stop, and its place went away before it said how it ended.
            Some(receipt) if stopping && receipt.class.is_some_and(FailureClass::is_infrastructure) => {
                Conclusion::Cancelled
            }
            Some(receipt) => receipt.conclusion,
            None => Conclusion::Failure,
        };
        let allowed = instance.settings.as_ref().is_some_and(|s| s.continue_on_error);
        let conclusion =
            if outcome == Conclusion::Failure && allowed { Conclusion::Success } else { outcome };
        Command::Record(ended(id, outcome, conclusion))
    }
}

fn ended(instance: InstanceId, outcome: Conclusion, conclusion: Conclusion) -> EventKind {
    EventKind::InstanceEnded { instance, outcome, conclusion, outputs: BTreeMap::new() }
}
