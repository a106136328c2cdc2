//! Workflow and event → [`Plan`].

use super::fate::{Above, Standing, fate};
use super::known::Known;
use super::model::{CacheAnswer, Fate, Later, Plan, PlannedInstance, PlannedJob};
use super::order::ordered;
use super::outline::{env_lines, outline};
use super::strip::{first_open, strip};
use super::{CacheFacts, Contexts, TreeDigests, absent, absent_triggers, instance, job, spec};
use super::{call_contexts, instance_contexts, matrix_fits};
use crate::job::{Conclusion, Receipt};
use crate::run::{CacheKey, InstanceDeclared, JobEvaluation, ReadySettings};
use crate::trigger::{Decision, EventFacts, decide};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Call, Job, JobKind, Strategy, Workflow};

/// A plan of more jobs than this is cut off, and says so.
const MOST_JOBS: usize = 10_000;

/// Deepest nesting of called workflows (GitHub's limit).
const DEEPEST: usize = 10;

/// All that a plan is made from.
pub struct PlanInput<'a> {
    /// The workflow.
    pub workflow: &'a Workflow,
    /// Workflows it calls, by path without `./`.
    pub called: &'a BTreeMap<String, Arc<Workflow>>,
    /// Path of its file in the project.
    pub path: &'a str,
    /// `github`, `vars`, `data` …: what is known of the run; `inputs` are made here.
    pub contexts: &'a Contexts,
    /// The event.
    pub facts: &'a EventFacts,
    /// The project's files.
    pub tree: &'a TreeDigests,
    /// Asks the cache for the instances of a job, given by id; answers in the same order.
    pub cached: &'a dyn Fn(&str, &[CacheKey]) -> Vec<CacheAnswer>,
    /// Ids of the wanted jobs of the workflow (`select_jobs`).
    pub jobs: &'a BTreeSet<String>,
    /// Where jobs run.
    pub place: absent::Place,
    /// The image of jobs that name none, where they run in one.
    pub image: &'a str,
    /// Matrix values that are wanted (`matrix_filters`).
    pub matrix: &'a [(String, String)],
}

/// Plans what an event makes of a workflow.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let workflow = input.workflow;
    let decision = decide(workflow, input.facts);
    let mut plan = Plan {
        workflow: input.path.to_owned(),
        name: workflow.name.as_ref().map_or_else(|| input.path.to_owned(), |name| name.value.clone()),
        event: input.facts.name.clone(),
        decision,
        run_name: None,
        concurrency: None,
        absent: absent_triggers(workflow),
        data: Vec::new(),
        jobs: Vec::new(),
        estimate: None,
    };
    let Decision::Start(start) = &plan.decision else {
        return plan;
    };
    let contexts = input.contexts.clone().with("inputs", Value::from(&start.inputs));
    let nothing = BTreeSet::new();
    let known = Known { contexts: &contexts, needs: &nothing };
    plan.run_name = workflow.run_name.as_ref().map(|name| known.text(name));
    plan.concurrency = workflow
        .concurrency
        .as_ref()
        .filter(|given| known.template(&given.group))
        .and_then(|given| instance::concurrency(given, &contexts).ok());
    let mut builder = Builder { input, jobs: Vec::new() };
    builder.workflow(&Place { workflow, path: input.path, prefix: "", caller: None, depth: 0 }, &contexts);
    plan.jobs = builder.jobs;
    plan
}

/// One workflow within the plan.
struct Place<'a> {
    workflow: &'a Workflow,
    path: &'a str,
    /// `caller / ` or nothing.
    prefix: &'a str,
    /// Id of the calling job.
    caller: Option<&'a str>,
    depth: usize,
}

struct Builder<'a> {
    input: &'a PlanInput<'a>,
    jobs: Vec<PlannedJob>,
}

impl Builder<'_> {
    /// Plans all jobs of a workflow, what is needed first.
    fn workflow(&mut self, place: &Place<'_>, contexts: &Contexts) {
        let mut standings: HashMap<String, Standing> = HashMap::new();
        for job in ordered(place.workflow) {
            if place.depth == 0 && !self.input.jobs.contains(&job.id.value) {
                continue;
            }
            if self.jobs.len() >= MOST_JOBS {
                return;
            }
            let standing = self.job(place, job, contexts, &standings);
            standings.insert(job.id.value.to_lowercase(), standing);
        }
    }

    /// Plans one job and returns how it stands.
    fn job(
        &mut self,
        place: &Place<'_>,
        job: &Job,
        base: &Contexts,
        standings: &HashMap<String, Standing>,
    ) -> Standing {
        let above = Above::of(job, standings);
        let contexts = above.contexts(base);
        let known = Known { contexts: &contexts, needs: &above.known };
        let mut planned = self.outline(place, job, &known);
        planned.fate = fate(job, &known, &above);
        if let Fate::Skipped { .. } = planned.fate {
            let standing =
                Standing { skipped: Some(job.id.value.clone()), open: false, instances: Some(Vec::new()) };
            self.jobs.push(planned);
            return standing;
        }
        let open = matches!(planned.fate, Fate::Depends { .. });
        let instances = match expand(place.workflow, job, &contexts, &known, &mut planned) {
            Ok(instances) => instances,
            Err(reason) => {
                planned.fate = Fate::Fails { reason };
                Vec::new()
            }
        };
        match &job.kind {
            JobKind::Call(call) => self.call(place, job, call, &contexts, &known, planned, &instances, open),
            JobKind::Steps(_) => self.steps(place, job, &contexts, &known, planned, &instances, open),
        }
    }

    /// What of a job is the same for all its instances.
    fn outline(&self, place: &Place<'_>, job: &Job, known: &Known<'_>) -> PlannedJob {
        let id = format!("{}{}", place.prefix, job.id.value);
        let needs = job.needs.iter().map(|need| format!("{}{}", place.prefix, need.value));
        let caller = place.caller.filter(|_| job.needs.is_empty()).map(str::to_owned);
        let matrix = job.strategy.as_ref().is_some_and(|strategy| strategy.matrix.is_some());
        let named = if matrix { None } else { job.name.as_ref().filter(|name| known.template(name)) };
        let own = named.map_or_else(|| job.id.value.clone(), |name| known.text(name));
        PlannedJob {
            display: format!("{}{own}", place.prefix),
            id,
            needs: needs.chain(caller).collect(),
            calls: match &job.kind {
                JobKind::Call(call) => Some(call.uses.value.clone()),
                JobKind::Steps(_) => None,
            },
            fate: Fate::Runs,
            condition: job.condition.as_ref().map(|condition| condition.raw.trim().to_owned()),
            fail_fast: true,
            max_parallel: None,
            instances: Vec::new(),
            later: Vec::new(),
            env: env_lines(&place.workflow.env, known)
                .into_iter()
                .chain(env_lines(&job.env, known))
                .collect(),
            steps: Vec::new(),
            produces: spec::produces(job).into_iter().map(|given| (given.name, given.path)).collect(),
            absent: absent(place.workflow, job, self.input.place),
        }
    }

    /// Plans the instances of a job with steps.
    #[expect(clippy::too_many_arguments, reason = "one call, all of one job")]
    fn steps(
        &mut self,
        place: &Place<'_>,
        job: &Job,
        contexts: &Contexts,
        known: &Known<'_>,
        mut planned: PlannedJob,
        instances: &[Arc<InstanceDeclared>],
        open: bool,
    ) -> Standing {
        let (stripped, later) = strip(job, known);
        let cache_later = later.iter().any(|later| later.key.starts_with("con"))
            || spec::reads(place.workflow, job).has_open_needs(known.needs);
        planned.later.extend(later);
        let facts = CacheFacts {
            workflow: place.path,
            tree: self.input.tree,
            place: self.input.place,
            image: self.input.image,
            // A plan looks at the project's own store.
            project: "",
        };
        let total = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        let shape = (planned.fail_fast, planned.max_parallel);
        for (declared, index) in instances.iter().zip(0..) {
            if !matrix_fits(&declared.matrix, self.input.matrix) {
                continue;
            }
            let own = instance_contexts(contexts.clone(), &declared.matrix, shape, (index, total));
            match instance::ready(place.workflow, &stripped, &own, &facts) {
                Ok(mut settings) => {
                    settings.display = format!("{}{}", place.prefix, declared.display);
                    let cache = settings.cache.as_ref().map(|_| CacheAnswer::Later);
                    settings.cache = settings.cache.filter(|_| !cache_later);
                    planned.instances.push(PlannedInstance {
                        display: settings.display.clone(),
                        matrix: declared.matrix.clone(),
                        settings: Box::new(settings),
                        cache,
                    });
                }
                Err(reason) => {
                    planned.fate = Fate::Fails { reason: format!("{}: {reason}", declared.display) };
                    break;
                }
            }
        }
        let only = match planned.instances.as_slice() {
            [only] => instance_contexts(contexts.clone(), &only.matrix, shape, (0, 1)),
            _ => contexts.clone(),
        };
        planned.steps = outline(job, &Known { contexts: &only, needs: known.needs });
        if let Some(reason) = absent::blocking(place.workflow, job, facts.place) {
            planned.fate = Fate::Fails { reason };
        } else if planned.fate == Fate::Runs {
            self.ask_cache(&mut planned);
        }
        let standing = Standing { skipped: None, open, instances: ended(&planned) };
        self.jobs.push(planned);
        standing
    }

    /// Asks the cache for all instances at once.
    fn ask_cache(&self, planned: &mut PlannedJob) {
        let keys: Vec<CacheKey> =
            planned.instances.iter().filter_map(|one| one.settings.cache.clone()).collect();
        if keys.is_empty() {
            return;
        }
        let mut answers = (self.input.cached)(&planned.id, &keys).into_iter();
        let asked = planned.instances.iter_mut().filter(|one| one.settings.cache.is_some());
        for one in asked {
            one.cache = answers.next();
        }
        let hits: Option<BTreeSet<u64>> = planned
            .instances
            .iter()
            .map(|one| match &one.cache {
                Some(CacheAnswer::Hit { run, .. }) => Some(*run),
                _ => None,
            })
            .collect();
        if let Some(runs) = hits.filter(|runs| !runs.is_empty()) {
            planned.fate = Fate::Cached { runs: runs.into_iter().collect() };
        }
    }

    /// Plans a call: the called workflow's jobs follow, once for each instance of the caller.
    #[expect(clippy::too_many_arguments, reason = "one call, all of one job")]
    fn call(
        &mut self,
        place: &Place<'_>,
        job: &Job,
        call: &Call,
        contexts: &Contexts,
        known: &Known<'_>,
        mut planned: PlannedJob,
        instances: &[Arc<InstanceDeclared>],
        open: bool,
    ) -> Standing {
        let standing = Standing { skipped: None, open, instances: None };
        let path = call.uses.value.trim_start_matches("./").to_owned();
        let called = self.input.called.get(&path).cloned();
        if called.is_none() || place.depth >= DEEPEST {
            let reason = match called {
                None => format!(
                    "the workflow {} is not here: only workflows of this repository can be called",
                    call.uses.value
                ),
                Some(_) => format!("workflows call each other more than {DEEPEST} deep"),
            };
            planned.fate = Fate::Fails { reason };
        }
        for (name, value) in &call.with {
            if let Some(expression) = first_open(value, known) {
                planned.later.push(Later { key: format!("with.{}", name.value), expression });
            }
        }
        let whole = planned.later.iter().all(|later| !later.key.starts_with("with."));
        let total = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        let mut inner = Vec::new();
        for (declared, index) in instances.iter().zip(0..) {
            let display = format!("{}{}", place.prefix, declared.display);
            let own = instance_contexts(
                contexts.clone(),
                &declared.matrix,
                (planned.fail_fast, planned.max_parallel),
                (index, total),
            );
            planned.instances.push(PlannedInstance {
                display: display.clone(),
                matrix: declared.matrix.clone(),
                settings: Box::new(ReadySettings { display: display.clone(), ..ReadySettings::default() }),
                cache: None,
            });
            let Some(called) = called.as_deref().filter(|_| !matches!(planned.fate, Fate::Fails { .. }))
            else {
                continue;
            };
            let below = if whole { call_contexts(&own, call, called) } else { Ok(without_inputs(&own)) };
            match below {
                Ok(below) => inner.push((display, below)),
                Err(reason) => planned.fate = Fate::Fails { reason },
            }
        }
        let id = planned.id.clone();
        let fails = matches!(planned.fate, Fate::Fails { .. });
        self.jobs.push(planned);
        if let Some(called) = called.filter(|_| !fails) {
            for (display, below) in inner {
                let own = if job.strategy.is_some() { display } else { id.clone() };
                let prefix = format!("{own} / ");
                let place = Place {
                    workflow: &called,
                    path: &path,
                    prefix: &prefix,
                    caller: Some(&id),
                    depth: place.depth + 1,
                };
                self.workflow(&place, &below);
            }
        }
        standing
    }
}

/// What a called workflow sees where its inputs are not known yet.
fn without_inputs(own: &Contexts) -> Contexts {
    let mut made = Contexts::new();
    for (name, value) in own.iter().filter(|(name, _)| matches!(*name, "github" | "vars" | "data" | "models"))
    {
        made.set(name, value.clone());
    }
    made
}

/// Expands the matrix where it is known.
fn expand(
    workflow: &Workflow,
    job: &Job,
    contexts: &Contexts,
    known: &Known<'_>,
    planned: &mut PlannedJob,
) -> Result<Vec<Arc<InstanceDeclared>>, String> {
    if let Some(Strategy { expression, matrix, .. }) = job.strategy.as_deref() {
        let whole =
            expression.as_ref().filter(|given| !known.template(given)).map(|given| given.raw.to_string());
        let open = whole.or_else(|| matrix.as_ref().and_then(|matrix| first_open(matrix, known)));
        if let Some(expression) = open {
            planned.later.push(Later { key: "strategy.matrix".to_owned(), expression });
            return Ok(Vec::new());
        }
    }
    match job::strategy(workflow, job, contexts)? {
        JobEvaluation::Instances { instances, fail_fast, max_parallel } => {
            planned.fail_fast = fail_fast;
            planned.max_parallel = max_parallel;
            Ok(instances)
        }
        JobEvaluation::Skipped { reason } | JobEvaluation::Failed { reason } => Err(reason),
    }
}

/// The ended instances of a job that comes from the cache whole.
fn ended(planned: &PlannedJob) -> Option<Vec<(Json, Conclusion, Option<Receipt>)>> {
    if !matches!(planned.fate, Fate::Cached { .. }) {
        return None;
    }
    planned
        .instances
        .iter()
        .map(|one| match &one.cache {
            Some(CacheAnswer::Hit { receipt, .. }) => {
                Some((one.matrix.clone(), Conclusion::Success, Some(receipt.as_ref().clone())))
            }
            _ => None,
        })
        .collect()
}
