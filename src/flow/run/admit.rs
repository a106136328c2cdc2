//! Turns what came in into an event, or refuses it.

use super::{EventKind, InstanceId, JobId, Millis, Phase, Refusal, Run, RunEvent};

impl Run {
    /// Checks whether `kind` may follow the log so far.
    pub fn admit(&self, kind: EventKind, at: Millis) -> Result<RunEvent, Refusal> {
        if self.ended {
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
            }
            EventKind::JobsAdded { caller, .. } => self.in_phase(*caller, Phase::NeedsJobs)?,
            EventKind::InstanceEvaluated { instance, .. } => self.in_phase(*instance, Phase::Declared)?,
            EventKind::CacheAnswered { instance, .. } => self.in_phase(*instance, Phase::AskCache)?,
            EventKind::SlotGranted { instance, .. } => match self.phase(*instance)? {
                Phase::WaitsRetry(due) => refuse_if(at < due, "the retry is not due")?,
                _ => self.in_phase(*instance, Phase::NeedsSlot)?,
            },
            EventKind::RetryScheduled { instance, .. } => self.in_phase(*instance, Phase::AttemptOver)?,
            EventKind::Adopted { instance, .. } | EventKind::InstanceEnded { instance, .. } => {
                refuse_if(self.phase(*instance)? == Phase::Ended, "the instance has ended")?;
            }
            EventKind::AttemptStarted { instance, attempt, .. } => {
                self.in_phase(*instance, Phase::Granted)?;
                let last = self.instance(*instance).map_or(0, |i| i.attempt);
                refuse_if(*attempt != last + 1, "attempts count up by one")?;
            }
            EventKind::AttemptReady { instance, attempt, .. }
            | EventKind::StepStarted { instance, attempt, .. }
            | EventKind::StepEnded { instance, attempt, .. }
            | EventKind::Judged { instance, attempt, .. }
            | EventKind::AttemptEnded { instance, attempt, .. }
            | EventKind::AttemptCancelled { instance, attempt, .. } => self.current(*instance, *attempt)?,
            EventKind::Annotated { instance, .. } | EventKind::BaselineFetched { instance, .. } => {
                self.in_phase(*instance, Phase::Running)?;
            }
            EventKind::RunEnded(_) => refuse_if(self.open_jobs > 0, "a job has not ended")?,
            EventKind::RunCreated(_)
            | EventKind::EngineStarted { .. }
            | EventKind::CancelRequested { .. } => {}
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
