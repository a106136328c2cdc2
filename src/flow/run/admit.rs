//! Turns what came in into an event, or refuses it.

use super::{EventKind, InstanceId, JobDeclared, JobId, Millis, Phase, Refusal, Run, RunEvent};
use std::sync::Arc;

impl Run {
    /// Checks whether `kind` may follow the log so far.
    pub fn admit(&self, kind: EventKind, at: Millis) -> Result<RunEvent, Refusal> {
        if self.ended && !matches!(kind, EventKind::ImagesTold { .. }) {
            return Err(Refusal::Ended);
        }
        match &kind {
            EventKind::RunCreated(_) => refuse_if(self.created.is_some(), "the run was created already")?,
            _ => refuse_if(self.created.is_none(), "the first event of a run creates it")?,
        }
        match &kind {
            EventKind::JobEvaluated { job, .. } => {
                let job = self.known_job(*job)?;
                refuse_if(job.evaluated || job.unmet > 0, "the job cannot be evaluated now")?;
            }
            EventKind::JobEnded { job, .. } => {
                refuse_if(self.known_job(*job)?.result.is_some(), "the job has ended")?;
                refuse_if(!self.jobs_over.contains(job), "instances of the job have not ended")?;
            }
            EventKind::JobsAdded { caller, jobs } => {
                self.in_phase(*caller, Phase::NeedsJobs)?;
                check_needs(self.jobs.len(), jobs)?;
            }
            EventKind::InstanceEvaluated { instance, .. } => self.in_phase(*instance, Phase::Declared)?,
            EventKind::CacheAnswered { instance, .. } => self.in_phase(*instance, Phase::AskCache)?,
            EventKind::SlotGranted { instance, .. } => match self.phase(*instance)? {
                Phase::WaitsRetry(due) => refuse_if(at < due, "the retry is not due")?,
                _ => self.in_phase(*instance, Phase::NeedsSlot)?,
            },
            EventKind::GroupGranted { instance } => {
                refuse_if(!self.groups.contains(instance), "nobody waits for this concurrency group")?;
            }
            EventKind::InstanceStopped { instance, .. } => {
                refuse_if(self.phase(*instance)? == Phase::Ended, "the instance has ended")?;
            }
            EventKind::RetryScheduled { instance, .. } => self.in_phase(*instance, Phase::AttemptOver)?,
            EventKind::Adopted { instance, .. } | EventKind::InstanceEnded { instance, .. } => {
                let phase = self.phase(*instance)?;
                refuse_if(phase == Phase::Ended, "the instance has ended")?;
                refuse_if(phase == Phase::Running, "an attempt of the instance runs")?;
                let open = self.instance(*instance).map_or(0, |i| i.inner_open);
                refuse_if(open > 0, "jobs of the called workflow have not ended")?;
            }
            EventKind::AttemptStarted { instance, attempt, .. } => {
                self.in_phase(*instance, Phase::Granted)?;
                let last = self.instance(*instance).map_or(0, |i| i.attempt);
                refuse_if(*attempt != last + 1, "attempts count up by one")?;
            }
            EventKind::AttemptReady { instance, attempt, .. }
            | EventKind::AttemptWaiting { instance, attempt, .. }
            | EventKind::StepStarted { instance, attempt, .. }
            | EventKind::StepEnded { instance, attempt, .. }
            | EventKind::Judged { instance, attempt, .. }
            | EventKind::AttemptEnded { instance, attempt, .. }
            | EventKind::AttemptCancelled { instance, attempt, .. } => self.current(*instance, *attempt)?,
            EventKind::ServiceEnded { instance, attempt, service, node, times, .. } => {
                self.current(*instance, *attempt)?;
                let ends = self.instance(*instance).map(|i| &i.service_ends);
                let known = ends.and_then(|ends| ends.get(&(*node, service.clone())));
                if known.is_some_and(|known| times <= known) {
                    return Err(Refusal::Known);
                }
            }
            EventKind::ImagesTold { instance, attempt, .. } => {
                self.phase(*instance)?;
                let last = self.instance(*instance).map_or(0, |i| i.attempt);
                refuse_if(!(1..=last).contains(attempt), "there was no such attempt")?;
            }
            EventKind::Annotated { instance, .. } => self.in_phase(*instance, Phase::Running)?,
            EventKind::BaselineFetched { instance, .. } => match self.phase(*instance)? {
                // Gates are judged again on what the cache has.
                Phase::AskCache => {}
                _ => self.in_phase(*instance, Phase::Running)?,
            },
            EventKind::RunEnded(_) => refuse_if(self.open_jobs > 0, "a job has not ended")?,
            EventKind::RunCreated(created) => check_needs(0, &created.jobs)?,
            EventKind::EngineStarted { .. } | EventKind::CancelRequested { .. } => {}
        }
        Ok(RunEvent { at, kind })
    }

    fn known_job(&self, id: JobId) -> Result<&super::JobState, Refusal> {
        self.job(id).ok_or_else(|| Refusal::Illegal(format!("there is no job {}", id.0)))
    }

    fn phase(&self, id: InstanceId) -> Result<Phase, Refusal> {
        match self.instance(id) {
            Some(instance) => Ok(instance.phase),
            None => Err(Refusal::Illegal(format!("there is no instance {}", id.0))),
        }
    }

    fn in_phase(&self, id: InstanceId, wanted: Phase) -> Result<(), Refusal> {
        let phase = self.phase(id)?;
        if phase == wanted {
            return Ok(());
        }
        Err(Refusal::Illegal(format!("instance {} is {phase:?}, not {wanted:?}", id.0)))
    }

    /// The attempt must be the one that runs.
    fn current(&self, id: InstanceId, attempt: u32) -> Result<(), Refusal> {
        let phase = self.phase(id)?;
        let last = self.instance(id).map_or(0, |i| i.attempt);
        if phase == Phase::Running && last == attempt {
            return Ok(());
        }
        Err(Refusal::OldAttempt { instance: id.0, attempt })
    }
}

fn refuse_if(wrong: bool, why: &str) -> Result<(), Refusal> {
    if wrong { Err(Refusal::Illegal(why.to_owned())) } else { Ok(()) }
}

/// Jobs may need only jobs that are declared with them, and never one another in a circle: a job
/// that can never become ready would keep the run from ending.
fn check_needs(first: usize, jobs: &[Arc<JobDeclared>]) -> Result<(), Refusal> {
    let place = |need: u32| (need as usize).checked_sub(first).filter(|at| *at < jobs.len());
    let mut needed_by = vec![Vec::new(); jobs.len()];
    let mut unmet: Vec<usize> = jobs.iter().map(|job| job.needs.len()).collect();
    for (index, job) in jobs.iter().enumerate() {
        for need in &job.needs {
            let by = place(*need).and_then(|at| needed_by.get_mut(at));
            by.ok_or_else(|| Refusal::Illegal(format!("`{}` needs a job that is not there", job.id)))?
                .push(index);
        }
    }
    let mut ready: Vec<usize> = (0..jobs.len()).filter(|at| unmet.get(*at) == Some(&0)).collect();
    let mut met = 0;
    while let Some(at) = ready.pop() {
        met += 1;
        for next in needed_by.get(at).into_iter().flatten() {
            if let Some(count) = unmet.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    ready.push(*next);
                }
            }
        }
    }
    refuse_if(met < jobs.len(), "jobs need one another in a circle")
}
