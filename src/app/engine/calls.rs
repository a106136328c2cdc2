//! Calls of reusable workflows: their jobs join the run, their outputs come back.

use super::evaluate::Frame;
use super::{Engine, EngineError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_flow::job::Conclusion;
use tidegate_flow::plan;
use tidegate_flow::run::{EventKind, InstanceId};
use tidegate_lang::workflow::{Call, JobKind, local_path};

impl Engine<'_> {
    pub(super) fn add_jobs(&mut self, id: InstanceId) -> Result<(), EngineError> {
        let frame = match self.called(id) {
            Ok(frame) => frame,
            Err(reason) => {
                self.observer.warn(&reason);
                return self.end(id, Conclusion::Failure, BTreeMap::new());
            }
        };
        let display = self.run.instance(id).map(|i| i.declared.display.clone()).unwrap_or_default();
        let first = u32::try_from(self.run.jobs().len()).unwrap_or(u32::MAX);
        let jobs = plan::declare_jobs(&frame.workflow, &frame.path, Some(&display), first);
        self.enter_frame(frame, jobs.len());
        self.record(EventKind::JobsAdded { caller: id, jobs })
    }

    /// Makes places for the jobs of a frame.
    pub(super) fn enter_frame(&mut self, frame: Frame, jobs: usize) {
        let index = self.frames.len();
        self.frames.push(Arc::new(frame));
        self.places.extend((0..jobs).map(|job| (index, job)));
    }

    /// Makes the frame of a call: its workflow, its inputs and secrets.
    pub(super) fn called(&mut self, id: InstanceId) -> Result<Frame, String> {
        let (job, contexts) = self.instance_contexts(id).map_err(|e| e.to_string())?;
        let (frame, position) = self.place(job).ok_or("the calling job is not part of this run")?;
        let call = call_of(&frame, position).ok_or("the job calls no workflow")?;
        let path = local_path(&call.uses.value).ok_or("only workflows of the project can be called")?;
        let workflow = self.loaded.workflow(path).ok_or(format!("{path} is not there"))?.clone();
        let inner = plan::call_contexts(&contexts, call, &workflow)?;
        let secrets = plan::call_secrets(&contexts, call, &workflow, &frame.secrets)?;
        Ok(Frame { workflow, path: path.to_owned(), contexts: inner, secrets, caller: Some(id) })
    }

    pub(super) fn end_call(&mut self, id: InstanceId) -> Result<(), EngineError> {
        let Some(instance) = self.run.instance(id) else { return Ok(()) };
        let inner = instance.inner.clone();
        let results: Vec<Conclusion> =
            inner.iter().filter_map(|j| self.run.job(*j)).filter_map(|j| j.result).collect();
        let any = |wanted| results.contains(&wanted);
        let outcome = if any(Conclusion::Failure) {
            Conclusion::Failure
        } else if any(Conclusion::Cancelled) {
            Conclusion::Cancelled
        } else if any(Conclusion::Success) || results.is_empty() {
            Conclusion::Success
        } else {
            Conclusion::Skipped
        };
        let frame = self.frames.iter().find(|f| f.caller == Some(id)).cloned();
        let outputs = match frame {
            Some(frame) => {
                let jobs = self.jobs_value(&inner);
                match plan::call_outputs(&frame.workflow, &frame.contexts, jobs) {
                    Ok(outputs) => outputs,
                    Err(reason) => {
                        self.observer.warn(&reason);
                        return self.end(id, Conclusion::Failure, BTreeMap::new());
                    }
                }
            }
            None => BTreeMap::new(),
        };
        self.end(id, outcome, outputs)
    }

    fn end(
        &mut self,
        id: InstanceId,
        outcome: Conclusion,
        outputs: BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let allowed =
            self.run.instance(id).and_then(|i| i.settings.as_ref()).is_some_and(|s| s.continue_on_error);
        let conclusion =
            if outcome == Conclusion::Failure && allowed { Conclusion::Success } else { outcome };
        self.record(EventKind::InstanceEnded { instance: id, outcome, conclusion, outputs })
    }
}

fn call_of(frame: &Frame, position: usize) -> Option<&Call> {
    match &frame.workflow.jobs.get(position)?.kind {
        JobKind::Call(call) => Some(call.as_ref()),
        JobKind::Steps(_) => None,
    }
}
