//! How an admitted event changes the run. Never fails, holds no policy.

use super::state::{InstanceState, JobState, bit};
use super::{
    EventKind, InstanceId, InstanceSettings, JobDeclared, JobEvaluation, JobId, Phase, Run, RunEvent,
};
use crate::gate::{Outcome, Verdict};
use crate::job::{Conclusion, FailureClass, Receipt};
use std::sync::Arc;

impl Run {
    /// Takes in an admitted event.
    pub fn apply(&mut self, event: &RunEvent) {
        self.events += 1;
        match &event.kind {
            EventKind::RunCreated(created) => {
                self.began = event.at;
                self.created = Some(created.clone());
                // Most jobs have one instance; doubled step by step, up to half of the room would stay empty.
                self.instances.reserve_exact(created.jobs.len());
                self.groups.extend(created.concurrency.is_some().then_some(None));
                self.add_jobs(&created.jobs, None);
            }
            EventKind::EngineStarted { keeps, .. } => self.engine_started(*keeps),
            EventKind::JobsAdded { caller, jobs } => self.jobs_added(*caller, jobs),
            EventKind::JobEvaluated { job, outcome } => self.job_evaluated(*job, outcome),
            EventKind::JobEnded { job, result } => self.job_ended(*job, *result),
            EventKind::CancelRequested { reason, force } => {
                let force = *force || self.cancel.as_ref().is_some_and(|(_, f)| *f);
                self.cancel = Some((reason.clone(), force));
                self.touch_all();
            }
            EventKind::RunEnded(_) => self.ended = true,
            EventKind::GroupGranted { instance } => {
                self.groups.remove(instance);
            }
            EventKind::InstanceEvaluated { instance, settings } => {
                self.instance_evaluated(*instance, settings);
            }
            EventKind::InstanceEnded { instance, outcome, conclusion, outputs } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.outputs.clone_from(outputs);
                }
                self.instance_ended(*instance, *outcome, *conclusion);
            }
            kind => self.instance_event(kind),
        }
    }

    fn instance_event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::CacheAnswered { instance, hit, verdicts, .. } => {
                let Some(state) = self.instances.get_mut(instance.0 as usize) else { return };
                match hit {
                    Some(hit) => {
                        state.cached = Some(hit.0.clone());
                        state.receipt = Some(Arc::new(judged_again(&hit.1, verdicts)));
                        state.verdicts.clone_from(verdicts);
                        self.enter(*instance, Phase::AttemptOver);
                    }
                    None => self.enter(*instance, Phase::NeedsSlot),
                }
            }
            EventKind::Adopted { instance, from, receipt } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.adopted = Some(from.clone());
                    state.receipt = Some(receipt.clone());
                }
                self.enter(*instance, Phase::AttemptOver);
            }
            EventKind::SlotGranted { instance, gpus } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.gpus.clone_from(gpus);
                }
                let job = self.instance(*instance).and_then(|i| self.job(i.job));
                if job.is_some_and(|job| job.declared.call) {
                    self.callers.insert(*instance);
                    self.enter(*instance, Phase::NeedsJobs);
                } else {
                    self.enter(*instance, Phase::Granted);
                }
            }
            EventKind::InstanceStopped { instance, reason } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.stop.get_or_insert_with(|| reason.clone());
                }
                self.groups.remove(&Some(*instance));
                self.touch(*instance);
            }
            EventKind::AttemptStarted { instance, attempt, token, spec } => {
                self.attempt_started(*instance, *attempt, token, spec);
            }
            EventKind::AttemptReady { instance, .. }
            | EventKind::StepStarted { instance, .. }
            | EventKind::StepEnded { instance, .. }
            | EventKind::Annotated { instance, .. } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.said += 1;
                }
            }
            EventKind::ServiceEnded { instance, service, node, times, .. } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.service_ends.insert((*node, service.clone()), *times);
                }
            }
            EventKind::Judged { instance, verdict, .. } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.said += 1;
                    state.verdicts.push(verdict.clone());
                }
            }
            EventKind::AttemptEnded { instance, receipt, .. } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.receipt = Some(receipt.clone());
                }
                self.groups.remove(&Some(*instance));
                self.enter(*instance, Phase::AttemptOver);
            }
            EventKind::ImagesTold { instance, attempt, images } => {
                let state = self.instances.get_mut(instance.0 as usize).filter(|i| i.attempt == *attempt);
                if let Some(receipt) = state.and_then(|state| state.receipt.as_mut()) {
                    Arc::make_mut(receipt).images.clone_from(images);
                }
            }
            EventKind::RetryScheduled { instance, due, infra, memory, step, .. } => {
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.infra += u32::from(*infra);
                    match step {
                        Some(step) => state.step_memory.extend(memory.map(|bytes| (*step, bytes))),
                        None => state.memory = memory.or(state.memory),
                    }
                }
                self.enter(*instance, Phase::WaitsRetry(*due));
            }
            EventKind::AttemptCancelled { instance, .. } => {
                let force = self.cancel.as_ref().is_some_and(|(_, f)| *f);
                if let Some(state) = self.instances.get_mut(instance.0 as usize) {
                    state.told = Some(force);
                }
                self.busy.remove(instance);
            }
            _ => {}
        }
    }

    fn attempt_started(&mut self, instance: InstanceId, attempt: u32, token: &str, spec: &str) {
        if let Some(state) = self.instances.get_mut(instance.0 as usize) {
            state.attempt = attempt;
            token.clone_into(&mut state.token);
            spec.clone_into(&mut state.spec);
            state.said = 0;
            state.service_ends.clear();
            state.told = None;
            state.verdicts.clear();
        }
        self.enter(instance, Phase::Running);
    }

    fn add_jobs(&mut self, declared: &[Arc<JobDeclared>], caller: Option<InstanceId>) {
        let first = self.jobs.len();
        self.jobs.extend(declared.iter().map(|job| JobState::new(job, caller)));
        for (index, job) in (first..).zip(declared) {
            let id = job_id(index);
            self.open_jobs += 1;
            for need in &job.needs {
                if let Some(needed) = self.jobs.get_mut(*need as usize) {
                    needed.needed_by.push(id);
                }
            }
            if job.needs.is_empty() {
                self.jobs_ready.insert(id);
            }
        }
    }

    fn jobs_added(&mut self, caller: InstanceId, jobs: &[Arc<JobDeclared>]) {
        let first = self.jobs.len();
        self.add_jobs(jobs, Some(caller));
        let ids: Vec<JobId> = (first..self.jobs.len()).map(job_id).collect();
        if let Some(state) = self.instances.get_mut(caller.0 as usize) {
            state.inner_open = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            state.inner = ids;
        }
        self.enter(caller, Phase::Calling);
    }

    fn job_evaluated(&mut self, id: JobId, outcome: &JobEvaluation) {
        let first = self.instances.len();
        let after_cancel = self.cancel.is_some();
        let Some(job) = self.jobs.get_mut(id.0 as usize) else { return };
        self.jobs_ready.remove(&id);
        job.evaluated = true;
        job.after_cancel = after_cancel;
        match outcome {
            JobEvaluation::Skipped { reason } => {
                job.without = Some((Conclusion::Skipped, reason.clone()));
                self.jobs_over.insert(id);
            }
            JobEvaluation::Failed { reason } => {
                job.without = Some((Conclusion::Failure, reason.clone()));
                self.jobs_over.insert(id);
            }
            JobEvaluation::Instances { instances, fail_fast, max_parallel } => {
                job.fail_fast = *fail_fast;
                job.max_parallel = *max_parallel;
                job.open = u32::try_from(instances.len()).unwrap_or(u32::MAX);
                job.instances.reserve_exact(instances.len());
                self.instances.reserve(instances.len());
                job.let_in = max_parallel.unwrap_or(u32::MAX).min(job.open);
                for (index, declared) in (0..).zip(instances) {
                    let instance = InstanceId(u32::try_from(first).unwrap_or(u32::MAX).saturating_add(index));
                    job.instances.push(instance);
                    self.instances.push(InstanceState::new(id, index, declared));
                    if index < job.let_in {
                        self.busy.insert(instance);
                    }
                }
                if instances.is_empty() {
                    self.jobs_over.insert(id);
                }
                // Declared while it is to stop: who waits for `max-parallel` ends, too.
                for instance in job.instances.clone() {
                    self.touch(instance);
                }
            }
        }
    }

    fn instance_evaluated(&mut self, id: InstanceId, settings: &InstanceSettings) {
        let Some(state) = self.instances.get_mut(id.0 as usize) else { return };
        let call = self.jobs.get(state.job.0 as usize).is_some_and(|j| j.declared.call);
        let next = match settings {
            InstanceSettings::Ready(ready) => {
                let (cache, group) = (ready.cache.is_some(), ready.concurrency.is_some());
                let mut own = (**ready).clone();
                let display = std::mem::take(&mut own.display);
                state.named = (display != state.declared.display).then_some(display);
                state.settings = Some(self.settings.shared(own));
                match (call, cache, group) {
                    // A called workflow needs nothing of the machine itself, at most its group.
                    (true, _, false) => Phase::NeedsJobs,
                    (false, true, _) => Phase::AskCache,
                    (true, _, true) | (false, false, _) => Phase::NeedsSlot,
                }
            }
            InstanceSettings::Failed { reason } => {
                state.failed = Some(reason.clone());
                Phase::AttemptOver
            }
        };
        self.enter(id, next);
    }

    fn instance_ended(&mut self, id: InstanceId, outcome: Conclusion, conclusion: Conclusion) {
        let Some(state) = self.instances.get_mut(id.0 as usize) else { return };
        state.outcome = Some(outcome);
        state.conclusion = Some(conclusion);
        // Nobody asks for its attempt any more.
        (state.token, state.spec) = (String::new(), String::new());
        let job_id = state.job;
        self.callers.remove(&id);
        self.groups.remove(&Some(id));
        self.enter(id, Phase::Ended);
        let Some(job) = self.jobs.get_mut(job_id.0 as usize) else { return };
        job.open = job.open.saturating_sub(1);
        if job.open == 0 {
            self.jobs_over.insert(job_id);
        }
        if let Some(next) = job.instances.get(job.let_in as usize).copied() {
            job.let_in += 1;
            if self.instance(next).is_some_and(|i| i.phase == Phase::Declared) {
                self.busy.insert(next);
            }
        }
        if conclusion == Conclusion::Failure {
            self.fail_fast(job_id);
        }
    }

    /// An instance failed: the others of its matrix are to stop, once.
    fn fail_fast(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(id.0 as usize) else { return };
        if !job.fail_fast || job.failing {
            return;
        }
        job.failing = true;
        for other in job.instances.clone() {
            if let Some(state) = self.instances.get_mut(other.0 as usize)
                && state.phase != Phase::Ended
            {
                state.stop = Some("another instance of the matrix failed (fail-fast)".to_owned());
                self.touch(other);
            }
        }
    }

    fn job_ended(&mut self, id: JobId, result: Conclusion) {
        self.jobs_over.remove(&id);
        self.jobs_ready.remove(&id);
        self.open_jobs = self.open_jobs.saturating_sub(1);
        let Some(job) = self.jobs.get_mut(id.0 as usize) else { return };
        job.result = Some(result);
        let caller = job.caller;
        let above = job.above | bit(result);
        for next in job.needed_by.clone() {
            if let Some(next_job) = self.jobs.get_mut(next.0 as usize) {
                next_job.above |= above;
                next_job.unmet = next_job.unmet.saturating_sub(1);
                if next_job.unmet == 0 && !next_job.evaluated {
                    self.jobs_ready.insert(next);
                }
            }
        }
        if let Some(caller) = caller
            && let Some(state) = self.instances.get_mut(caller.0 as usize)
        {
            state.inner_open = state.inner_open.saturating_sub(1);
            if state.inner_open == 0 {
                self.busy.insert(caller);
            }
        }
    }

    /// Slots of the former engine are gone with it, and its attempts, unless it `keeps` them; nobody's
    /// budget pays for that.
    fn engine_started(&mut self, keeps: bool) {
        let is_granted = |id: &&InstanceId| self.instance(**id).is_some_and(|i| i.phase == Phase::Granted);
        let granted: Vec<InstanceId> = self.busy.iter().filter(is_granted).copied().collect();
        let running: Vec<InstanceId> = self.running.iter().copied().collect();
        for id in &running {
            if let Some(state) = self.instances.get_mut(id.0 as usize) {
                state.restarts += u32::from(!keeps);
                state.told = None;
            }
        }
        for id in granted.into_iter().chain(running.iter().copied().filter(|_| !keeps)) {
            self.enter(id, Phase::NeedsSlot);
        }
        // Groups that were held over many jobs, or that a running attempt needs, are to be asked for
        // again before anything goes on.
        self.groups.clear();
        self.groups.extend(self.callers.iter().copied().map(Some));
        for id in running.into_iter().filter(|_| keeps) {
            if self.instance(id).is_some_and(|i| i.stop.is_none() && i.has_group()) {
                self.groups.insert(Some(id));
            }
            // Its cancellation may have been lost on the way.
            self.touch(id);
        }
        if self.created.as_ref().is_some_and(|created| created.concurrency.is_some()) {
            self.groups.insert(None);
        }
    }

    /// Puts an instance into a phase and into the one index that belongs to it.
    fn enter(&mut self, id: InstanceId, phase: Phase) {
        let Some(state) = self.instances.get_mut(id.0 as usize) else { return };
        if let Phase::WaitsRetry(due) = state.phase {
            self.due.remove(&(due, id));
        }
        if state.phase == Phase::NeedsSlot || phase == Phase::NeedsSlot {
            let class = state.slot_class();
            let waiting = self.slots.entry(class.clone()).or_default();
            waiting.remove(&id);
            if phase == Phase::NeedsSlot {
                waiting.insert(id);
            }
            if waiting.is_empty() {
                self.slots.remove(&class);
            }
        }
        state.phase = phase;
        self.busy.remove(&id);
        self.running.remove(&id);
        match phase {
            Phase::NeedsSlot => {}
            Phase::Running => {
                self.running.insert(id);
            }
            Phase::WaitsRetry(due) => {
                self.due.insert((due, id));
            }
            Phase::Ended => {}
            Phase::Calling => {
                if self.instance(id).is_some_and(|i| i.inner_open == 0) {
                    self.busy.insert(id);
                }
            }
            _ => {
                self.busy.insert(id);
            }
        }
        if self.stopping(id).is_some() {
            self.touch(id);
        }
    }

    fn touch_all(&mut self) {
        for index in 0..self.instances.len() {
            self.touch(InstanceId(u32::try_from(index).unwrap_or(u32::MAX)));
        }
    }

    /// Lets `decide` look at an instance that is to stop, and at what it called.
    fn touch(&mut self, id: InstanceId) {
        let Some(state) = self.instance(id) else { return };
        if state.phase == Phase::Ended {
            return;
        }
        let inner: Vec<InstanceId> = state
            .inner
            .iter()
            .filter_map(|job| self.job(*job))
            .flat_map(|job| job.instances.iter().copied())
            .collect();
        // Only what stops: the others are in the index of their phase.
        if self.stopping(id).is_some() {
            self.busy.insert(id);
        }
        for instance in inner {
            self.touch(instance);
        }
    }
}

/// A cached receipt whose gates were judged again: what the instance ends with.
pub fn judged_again(receipt: &Receipt, verdicts: &[Verdict]) -> Receipt {
    let mut receipt = receipt.clone();
    let any = |wanted| verdicts.iter().any(|verdict| verdict.outcome == wanted);
    if any(Outcome::Fail) {
        receipt.conclusion = Conclusion::Failure;
        receipt.class = Some(FailureClass::Gate);
        receipt.reason = Some("the gate does not let the cached metrics through".to_owned());
    } else if any(Outcome::Undecided) {
        // The tool failed; the gate says nothing.
        receipt.conclusion = Conclusion::Failure;
        receipt.class = None;
        receipt.reason = Some("the gate could not be judged again on the cached metrics".to_owned());
    }
    receipt
}

fn job_id(index: usize) -> JobId {
    JobId(u32::try_from(index).unwrap_or(u32::MAX))
}
