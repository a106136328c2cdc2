//! What is evaluated by the engine: `if` and `strategy` of jobs, the keys of instances, specs.

use super::{Engine, EngineError};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_flow::job::{Conclusion, EnvLayer, JobSpec};
use tidegate_flow::plan::{self, Attempt, CacheFacts, Contexts, InstanceFacts, NeedFacts};
use tidegate_flow::run::{EventKind, InstanceId, InstanceSettings, JobEvaluation, JobId, JobState};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Job, Workflow};

/// One workflow in use: the root, or one call of another.
pub(super) struct Frame {
    /// Its file.
    pub workflow: Arc<Workflow>,
    /// Its path.
    pub path: String,
    /// What stays the same for its jobs.
    pub contexts: Contexts,
    /// Secrets its jobs may see; never stored.
    pub secrets: BTreeMap<String, String>,
    /// The instance that called it.
    pub caller: Option<InstanceId>,
}

/// What a person limits a run to.
#[derive(Clone, Debug, Default)]
pub(super) struct Only {
    /// Jobs of the root workflow that may run; `None`: all.
    pub jobs: Option<BTreeSet<String>>,
    /// Matrix values an instance must have.
    pub matrix: Vec<(String, String)>,
}

impl Only {
    /// Takes the jobs that were named and all that they need.
    pub(super) fn new(
        workflow: &Workflow,
        jobs: &[String],
        matrix: Vec<(String, String)>,
    ) -> Result<Self, EngineError> {
        if jobs.is_empty() {
            return Ok(Self { jobs: None, matrix });
        }
        let (mut open, mut chosen) = (jobs.to_vec(), BTreeSet::new());
        while let Some(name) = open.pop() {
            let Some(job) = workflow.jobs.iter().find(|j| j.id.value == name) else {
                let known: Vec<&str> = workflow.jobs.iter().map(|j| j.id.value.as_str()).collect();
                return Err(EngineError::Asked(format!(
                    "there is no job `{name}`; there are: {}",
                    known.join(", ")
                )));
            };
            if chosen.insert(name) {
                open.extend(job.needs.iter().map(|n| n.value.clone()));
            }
        }
        Ok(Self { jobs: Some(chosen), matrix })
    }

    fn keeps(&self, matrix: &Json) -> bool {
        self.matrix.iter().all(|(key, wanted)| match matrix.get(key) {
            None => true,
            Some(Json::String(text)) => text == wanted,
            Some(other) => other.to_string().as_str() == wanted.as_str(),
        })
    }
}

impl Engine<'_> {
    /// Whose run it is, where several projects share the store; empty in a store of its own.
    pub(super) fn project(&self) -> &str {
        self.run.created().map_or("", |created| &created.project)
    }

    /// Returns the frame of a job and the job as written.
    pub(super) fn place(&self, id: JobId) -> Option<(Arc<Frame>, usize)> {
        let (frame, position) = *self.places.get(id.0 as usize)?;
        Some((self.frames.get(frame)?.clone(), position))
    }

    pub(super) fn evaluate_job(&mut self, id: JobId) -> Result<JobEvaluation, EngineError> {
        let written = self.written(id)?;
        let (frame, job) = (&written.frame, written.job()?);
        if frame.caller.is_none()
            && let Some(jobs) = &self.only.jobs
            && !jobs.contains(&job.id.value)
        {
            return Ok(JobEvaluation::Skipped { reason: "it was not chosen with --job".to_owned() });
        }
        let needs = self.needs_of(id);
        let contexts = frame.contexts.clone().with("needs", needs);
        let cancelled = self.run.cancelled().is_some();
        let status = plan::job_status(&self.run.ancestors(id), cancelled);
        let mut outcome = plan::evaluate_job(&frame.workflow, job, &contexts.with_status(status));
        if let JobEvaluation::Instances { instances, .. } = &mut outcome
            && frame.caller.is_none()
            && !self.only.matrix.is_empty()
        {
            instances.retain(|i| self.only.keeps(&i.matrix));
            if instances.is_empty() {
                let reason = "no instance has the values of --matrix".to_owned();
                return Ok(JobEvaluation::Skipped { reason });
            }
        }
        if let JobEvaluation::Instances { instances, .. } = &mut outcome {
            let prefix = self.prefix(frame);
            instances.iter_mut().for_each(|i| Arc::make_mut(i).display.insert_str(0, &prefix));
        }
        Ok(outcome)
    }

    /// What stands before the names of a called workflow's jobs, as `plan` and GitHub have it: `train / `.
    fn prefix(&self, frame: &Frame) -> String {
        let caller = frame.caller.and_then(|caller| self.run.instance(caller));
        caller.map_or_else(String::new, |caller| format!("{} / ", caller.declared.display))
    }

    pub(super) fn evaluate_instance(&mut self, id: InstanceId) -> Result<InstanceSettings, EngineError> {
        let (job, contexts) = self.instance_contexts(id)?;
        let written = self.written(job)?;
        let frame = &written.frame;
        let (place, image) = self.site.back_end.place();
        let project = self.project();
        let facts = CacheFacts { workflow: &frame.path, tree: &self.files, place, image, project };
        let mut settings = plan::evaluate_instance(&frame.workflow, written.job()?, &contexts, &facts);
        if let InstanceSettings::Ready(ready) = &mut settings {
            ready.display.insert_str(0, &self.prefix(frame));
        }
        Ok(settings)
    }

    pub(super) fn spec(
        &mut self,
        id: InstanceId,
        attempt: u32,
        token: &str,
    ) -> Result<Result<JobSpec, String>, EngineError> {
        let (job, contexts) = self.instance_contexts(id)?;
        let written = self.written(job)?;
        let frame = &written.frame;
        let (Some(instance), Some(created)) = (self.run.instance(id), self.run.created()) else {
            return Ok(Err("the instance is not in the log".to_owned()));
        };
        let Some(settings) = &instance.settings else {
            return Ok(Err("the instance was not evaluated".to_owned()));
        };
        let secrets: Vec<String> = frame.secrets.keys().cloned().collect();
        let attempt = Attempt {
            run: &created.run,
            run_number: self.owned.number,
            display: instance.display(),
            instance: instance.index,
            attempt,
            token,
            source: &created.source,
            gpus: instance.gpus.clone(),
            debug: created.options.get("debug").and_then(Json::as_bool).unwrap_or(false),
            secrets: &secrets,
            sources: &self.loaded.sources,
        };
        // After `oom` the next attempt may have more.
        let (memory, of_steps) = (instance.memory, instance.step_memory.clone());
        let spec = plan::job_spec(&frame.workflow, written.job()?, settings, &contexts, &attempt);
        let display = self.run.job(job).map(|j| j.declared.display.clone()).unwrap_or_default();
        let env: BTreeMap<String, String> = created
            .options
            .get("env")
            .and_then(|env| serde_json::from_value(env.clone()).ok())
            .unwrap_or_default();
        let scope = match &spec {
            Ok(spec) if spec.checkpoint.is_some() => Some(self.origin()?),
            _ => None,
        };
        Ok(spec.map(|mut spec| {
            spec.resources.memory_bytes = memory.unwrap_or(spec.resources.memory_bytes);
            for place in &mut spec.pod.steps {
                if let (Some(asked), Some(bytes)) = (&mut place.resources, of_steps.get(&place.step)) {
                    asked.memory_bytes = *bytes;
                }
            }
            if let (Some(checkpoint), Some(origin)) = (&mut spec.checkpoint, scope) {
                // Two calls of one workflow have jobs of the same name.
                let call: String = display.chars().take(100).collect();
                checkpoint.key = format!("{origin}-{}-{call}", checkpoint.key);
            }
            if !env.is_empty() {
                spec.env.insert(0, layer(env));
            }
            spec
        }))
    }

    /// The run that this one reruns, or the one that that one reran, and so on: checkpoints are kept
    /// across them, and no other run gets them.
    fn origin(&mut self) -> Result<String, EngineError> {
        if let Some(known) = &self.origin {
            return Ok(known.clone());
        }
        let mut origin = self.owned.run.clone();
        let mut before = self.run.created().and_then(|c| c.rerun_of.clone());
        while let Some(run) = before {
            let log = self.store.events(&run, 0)?;
            before = match log.first().map(|e| &e.kind) {
                Some(EventKind::RunCreated(created)) => created.rerun_of.clone(),
                _ => None,
            };
            origin = run;
        }
        self.origin = Some(origin.clone());
        Ok(origin)
    }

    /// The contexts of an instance: the workflow's, with the job's and its own.
    pub(super) fn instance_contexts(&mut self, id: InstanceId) -> Result<(JobId, Contexts), EngineError> {
        let of = self.run.instance(id).map(|instance| instance.job);
        let of = of.ok_or_else(|| unknown(&format!("instance {}", id.0)))?;
        let needs = self.needs_of(of);
        let contexts = self.written(of)?.frame.contexts.clone().with("needs", needs);
        let (Some(job), Some(instance)) = (self.run.job(of), self.run.instance(id)) else {
            return Err(unknown("a job"));
        };
        let total = u32::try_from(job.instances.len()).unwrap_or(u32::MAX);
        let own = plan::instance_contexts(
            contexts,
            &instance.declared.matrix,
            (job.fail_fast, job.max_parallel),
            (instance.index, total),
        );
        Ok((of, own))
    }

    /// The `needs` of a job; of one that needs others, kept until it ends.
    fn needs_of(&mut self, id: JobId) -> Value {
        if let Some(kept) = self.needs.get(&id) {
            return kept.clone();
        }
        let needs = self.run.job(id).map_or(&[][..], |job| &job.declared.needs);
        let facts: Vec<NeedFacts<'_>> =
            needs.iter().filter_map(|n| self.run.job(JobId(*n))).map(|j| self.facts(j)).collect();
        let made = plan::needs_context(&facts);
        if !facts.is_empty() {
            self.needs.insert(id, made.clone());
        }
        made
    }

    /// The `jobs` context of a called workflow whose jobs have ended.
    pub(super) fn jobs_value(&self, jobs: &[JobId]) -> Value {
        let facts: Vec<NeedFacts<'_>> =
            jobs.iter().filter_map(|j| self.run.job(*j)).map(|j| self.facts(j)).collect();
        plan::jobs_context(&facts)
    }

    fn facts<'r>(&'r self, job: &'r JobState) -> NeedFacts<'r> {
        let instances =
            job.instances.iter().filter_map(|i| self.run.instance(*i)).map(|instance| InstanceFacts {
                matrix: &instance.declared.matrix,
                result: instance.outcome.unwrap_or(Conclusion::Skipped),
                receipt: instance.receipt.as_deref(),
                outputs: &instance.outputs,
            });
        NeedFacts {
            id: &job.declared.id,
            result: job.result.unwrap_or(Conclusion::Skipped),
            instances: instances.collect(),
        }
    }

    /// The frame of a job and where in it the job is written.
    fn written(&self, id: JobId) -> Result<Written, EngineError> {
        let (frame, position) = self.place(id).ok_or_else(|| unknown("a job"))?;
        Ok(Written { frame, position })
    }
}

/// A job as it is written, held by its frame.
struct Written {
    frame: Arc<Frame>,
    position: usize,
}

impl Written {
    fn job(&self) -> Result<&Job, EngineError> {
        self.frame.workflow.jobs.get(self.position).ok_or_else(|| unknown("a job"))
    }
}

/// Variables as they stand, below those of the workflow: none of their text is an expression.
fn layer(env: BTreeMap<String, String>) -> EnvLayer {
    let literal = |value: String| {
        if value.contains("${{") { format!("${{{{ '{}' }}}}", value.replace('\'', "''")) } else { value }
    };
    EnvLayer {
        variables: env.into_iter().map(|(name, value)| (name, literal(value))).collect(),
        expression: None,
    }
}

fn unknown(what: &str) -> EngineError {
    EngineError::Asked(format!("{what} is not part of this run"))
}
