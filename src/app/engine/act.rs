//! Carries out what was decided.

use super::{BackEnd, Engine, EngineError, Rerun};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_edge::store::Objects;
use tidegate_flow::job::{AgentRequest, ArtifactRef, Conclusion, FailureClass, JobSpec, Receipt};
use tidegate_flow::run::{CacheKey, Command, EventKind, InstanceId, InstanceSettings, ReadySettings};

impl Engine<'_> {
    pub(super) fn act(&mut self, commands: Vec<Command>) -> Result<(), EngineError> {
        let mut cache = Vec::new();
        for command in commands {
            match command {
                Command::EvaluateJob(job) => {
                    let outcome = self.evaluate_job(job)?;
                    self.record(EventKind::JobEvaluated { job, outcome })?;
                }
                Command::EvaluateInstance(instance) => self.evaluate(instance)?,
                Command::AddJobs(instance) => self.add_jobs(instance)?,
                Command::AskCache(instance) => cache.push(instance),
                Command::RequestSlot(instance) => self.request_slot(instance)?,
                Command::RequestGroup(who) => self.request_group(who),
                Command::StartAttempt { instance, attempt } => self.start_attempt(instance, attempt)?,
                Command::CancelAttempt { instance, attempt, reason, force } => {
                    self.cancel_attempt(instance, attempt, reason, force)?;
                }
                Command::EndCall(instance) => self.end_call(instance)?,
                Command::Record(kind) => self.decided(kind)?,
            }
        }
        self.ask_cache(&cache)?;
        if self.line.wants() { self.stand_in_line() } else { Ok(()) }
    }

    /// Records a decision and lets go of what it makes superfluous.
    fn decided(&mut self, kind: EventKind) -> Result<(), EngineError> {
        match &kind {
            EventKind::JobEnded { job, .. } => {
                self.needs.remove(job);
            }
            EventKind::InstanceEnded { instance, .. } => {
                self.line.give_back(Some(*instance));
                self.keep(*instance)?;
            }
            _ => {}
        }
        self.record(kind)
    }

    fn evaluate(&mut self, id: InstanceId) -> Result<(), EngineError> {
        self.ask_for_adopted()?;
        if let Some((from, receipt)) = self.adoptable(id) {
            return self.record(EventKind::Adopted { instance: id, from, receipt: Arc::new(receipt) });
        }
        let mut settings = self.evaluate_instance(id)?;
        if let InstanceSettings::Ready(ready) = &settings
            && let Some(above) = self.above(ready)
        {
            if self.site.strict {
                settings = InstanceSettings::Failed { reason: format!("{above} (--strict-resources)") };
            } else if self.warned.insert(above.clone()) {
                self.observer.warn(&format!("{above}: it runs alone"));
            }
        }
        self.record(EventKind::InstanceEvaluated { instance: id, settings: Box::new(settings) })
    }

    /// Says in words what a job asks for that this machine does not have.
    fn above(&mut self, settings: &ReadySettings) -> Option<String> {
        let need = self.site.need(&settings.resources);
        need.above(&self.site.machine.capacity())
    }

    /// Asks once, for all that might be taken over, whether what pods made of it is still where it was: what is gone is made
    /// again, with all that needs it.
    fn ask_for_adopted(&mut self) -> Result<(), EngineError> {
        if self.adopt.is_empty() || std::mem::replace(&mut self.adopted_are_there, true) {
            return Ok(());
        }
        let digests = self.adopt.values().flat_map(|(_, receipt)| artifacts(receipt));
        let digests: Vec<String> = digests.map(|artifact| artifact.digest.clone()).collect();
        let lost = self.gone_elsewhere(&digests)?;
        let Some(created) = self.run.created().filter(|_| !lost.is_empty()) else { return Ok(()) };
        let Some(run) = created.rerun_of.clone() else { return Ok(()) };
        let from = created.options.get(super::start::FROM).cloned().unwrap_or_default();
        let from = serde_json::from_value(from).unwrap_or_default();
        let is_there = |receipt: &Receipt| Ok(artifacts(receipt).all(|a| !lost.contains(&a.digest)));
        let rerun = Rerun { run, from, pinned: None };
        self.adopt = super::resume::adoptable(&*self.store, &rerun, &is_there)?;
        Ok(())
    }

    /// Finds a finished instance of the run that this one reruns.
    fn adoptable(&self, id: InstanceId) -> Option<(String, Receipt)> {
        if self.adopt.is_empty() {
            return None;
        }
        let instance = self.run.instance(id)?;
        let job = self.run.job(instance.job)?;
        self.adopt.get(&(job.declared.display.clone(), instance.declared.matrix.to_string())).cloned()
    }

    fn start_attempt(&mut self, id: InstanceId, attempt: u32) -> Result<(), EngineError> {
        let token = format!("{}.{}.{attempt}", self.owned.run, id.0);
        let spec = self.spec(id, attempt, &token)?;
        self.tokens.insert(token.clone(), (id, attempt));
        let mut digest = String::new();
        // Where an attempt outlives its engine, the next one has to know what it works on.
        if let Ok(spec) = &spec
            && self.site.back_end.keeps()
        {
            digest = self.objects.put(&serde_json::to_vec(spec).unwrap_or_default())?;
        }
        self.record(EventKind::AttemptStarted { instance: id, attempt, token: token.clone(), spec: digest })?;
        match spec {
            Ok(spec) => {
                self.push_start(id, spec);
                Ok(())
            }
            Err(reason) => {
                let receipt =
                    Arc::new(Receipt::bare(Conclusion::Failure, Some(FailureClass::Failure), reason));
                self.attempt_ended(id, attempt, receipt)
            }
        }
    }

    fn push_start(&mut self, id: InstanceId, spec: JobSpec) {
        let job = self.run.instance(id).map(|i| i.job);
        let known = job.and_then(|j| self.place(j)).map(|(frame, _)| frame);
        let secret = |name: &String| Some((name.clone(), known.as_ref()?.secrets.get(name)?.clone()));
        let secrets = spec.secrets.iter().filter_map(secret).collect();
        self.outbox.push(AgentRequest::Start { spec: Box::new(spec), secrets });
    }

    /// Goes on with the attempts of a former engine.
    pub(super) fn take_up(&mut self) -> Result<(), EngineError> {
        let running: Vec<InstanceId> = self.run.running().collect();
        let mut taken_up = BTreeSet::new();
        for id in running {
            let Some(instance) = self.run.instance(id) else { continue };
            let (attempt, token, said) = (instance.attempt, instance.token.clone(), instance.said);
            let kept = self.objects.get(&instance.spec.clone()).ok();
            let spec = match kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                Some(spec) => Ok(spec),
                None => self.spec(id, attempt, &token)?,
            };
            self.tokens.insert(token.clone(), (id, attempt));
            self.hold_slot(id);
            match spec {
                Ok(spec) => {
                    self.push_start(id, spec);
                    self.known.insert(token.clone(), said);
                    taken_up.insert(token);
                }
                Err(reason) => {
                    let receipt = Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), reason);
                    self.attempt_ended(id, attempt, Arc::new(receipt))?;
                }
            }
        }
        self.taken_up = Some(taken_up);
        Ok(())
    }

    pub(super) fn attempt_ended(
        &mut self,
        id: InstanceId,
        attempt: u32,
        receipt: Arc<Receipt>,
    ) -> Result<(), EngineError> {
        self.line.give_back(Some(id));
        self.record(EventKind::AttemptEnded { instance: id, attempt, receipt })
    }

    fn cancel_attempt(
        &mut self,
        id: InstanceId,
        attempt: u32,
        reason: String,
        force: bool,
    ) -> Result<(), EngineError> {
        if let Some(instance) = self.run.instance(id) {
            let token = instance.token.clone();
            self.outbox.push(if force {
                AgentRequest::Kill { token }
            } else {
                AgentRequest::Cancel { token, reason: reason.clone() }
            });
        }
        self.record(EventKind::AttemptCancelled { instance: id, attempt, reason })
    }

    /// Asks for all at once: a rerun of a thousand cached jobs is one look.
    fn ask_cache(&mut self, ids: &[InstanceId]) -> Result<(), EngineError> {
        let keys: Vec<String> =
            ids.iter().map(|id| self.key(*id).map(|k| k.key).unwrap_or_default()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let answers = self.store.cached_many(&keys)?;
        let kept: Vec<String> =
            answers.iter().flatten().flat_map(|e| artifacts(&e.receipt)).map(|a| a.digest.clone()).collect();
        let lost = self.gone_elsewhere(&kept)?;
        for (id, answer) in ids.iter().zip(answers) {
            // Before it is relied on: it is there, and no collection takes it away.
            let (answer, gone) = match answer {
                Some(entry)
                    if artifacts(&entry.receipt).any(|a| lost.contains(&a.digest))
                        || !whole(&self.site.back_end, &*self.objects, &entry.receipt)? =>
                {
                    (None, Some(entry.number))
                }
                other => (other, None),
            };
            let judged = match &answer {
                Some(entry) => self.judge_kept(*id, &entry.receipt)?,
                None => Ok(Vec::new()),
            };
            let (verdicts, reason) = match judged {
                Ok(verdicts) => (verdicts, None),
                Err(reason) => (Vec::new(), Some(reason)),
            };
            let gone = gone.map(|run| format!("what run {run} kept of it is not in the store any more"));
            let reason = reason.or(gone);
            let hit = answer.filter(|_| reason.is_none());
            let hit = hit.map(|entry| Box::new((entry.number.to_string(), entry.receipt)));
            self.record(EventKind::CacheAnswered { instance: *id, hit, verdicts, reason })?;
        }
        Ok(())
    }

    /// Keeps the receipt of a success under its key.
    pub(super) fn keep(&mut self, id: InstanceId) -> Result<(), EngineError> {
        let Some(instance) = self.run.instance(id) else { return Ok(()) };
        if instance.cached.is_some() || instance.adopted.is_some() {
            return Ok(());
        }
        let (Some(key), Some(receipt)) = (self.key(id), instance.receipt.as_deref()) else { return Ok(()) };
        if receipt.conclusion != Conclusion::Success {
            return Ok(());
        }
        let entry = tidegate_edge::store::CacheEntry {
            run: self.owned.run.clone(),
            number: self.owned.number,
            receipt: receipt.clone(),
        };
        self.store.keep(&key, &entry)?;
        Ok(())
    }

    fn key(&self, id: InstanceId) -> Option<CacheKey> {
        self.run.instance(id)?.settings.as_ref()?.cache.clone()
    }
}

fn artifacts(receipt: &Receipt) -> impl Iterator<Item = &ArtifactRef> {
    receipt.artifacts.values().chain(receipt.uploads.values())
}

/// Tells whether all that a receipt refers to is in the store, and keeps it there. What pods keep is
/// with the cluster's hub, which is asked in [`Engine::gone_elsewhere`].
pub(super) fn whole(
    back_end: &BackEnd,
    objects: &dyn Objects,
    receipt: &Receipt,
) -> Result<bool, EngineError> {
    if !back_end.is_here() {
        return Ok(true);
    }
    for artifact in artifacts(receipt) {
        if !objects.claim(artifact)? {
            return Ok(false);
        }
    }
    Ok(true)
}
