//! Builds the type of each context for a place in the file.

use super::github;
use super::matrix::matrix_type;
use super::types::{Kind, Type};
use crate::check::sites::Site;
use crate::check::{CheckContext, LocalAction};
use crate::workflow::{Action, Dialect, Input, InputKind, Job, JobKind, Step, Uses, Workflow};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Types of contexts, worked out once for each job.
pub(crate) struct Scopes<'a> {
    workflow: &'a Workflow,
    by_id: HashMap<String, &'a Job>,
    called: &'a BTreeMap<String, Arc<Workflow>>,
    context: &'a CheckContext<'a>,
    fixed: HashMap<&'static str, Type>,
    per_job: RefCell<HashMap<(usize, &'static str), Type>>,
    steps: RefCell<HashMap<(usize, usize), Type>>,
}

impl<'a> Scopes<'a> {
    /// Prepares what does not depend on a job.
    pub fn new(
        workflow: &'a Workflow,
        called: &'a BTreeMap<String, Arc<Workflow>>,
        context: &'a CheckContext<'a>,
    ) -> Self {
        let fixed = HashMap::from([
            ("github", github::github(event_inputs(workflow))),
            ("runner", github::runner()),
            ("job", github::job()),
            ("strategy", github::strategy()),
            ("env", Type::open(Kind::Plain, Vec::new(), Type::String)),
            ("vars", Type::open(Kind::Plain, Vec::new(), Type::String)),
            ("inputs", inputs(workflow)),
            ("secrets", secrets(workflow)),
            ("data", data(workflow)),
        ]);
        let by_id = workflow.jobs.iter().map(|j| (j.id.value.to_ascii_lowercase(), j)).collect();
        Self {
            workflow,
            by_id,
            called,
            context,
            fixed,
            per_job: RefCell::new(HashMap::new()),
            steps: RefCell::new(HashMap::new()),
        }
    }

    /// Returns what was asked of outside.
    pub fn context_of(&self) -> &'a CheckContext<'a> {
        self.context
    }

    /// Returns the type of a context at a place.
    pub fn context(&self, name: &str, site: &Site<'_>) -> Type {
        let name = name.to_ascii_lowercase();
        if let Some(known) = self.fixed.get(name.as_str()) {
            return known.clone();
        }
        match (name.as_str(), site.job) {
            ("jobs", _) => self.all_jobs(),
            ("needs", Some(job)) => self.cached(job, "needs", |s| s.needs(job)),
            ("matrix", Some(job)) => self.cached(job, "matrix", |_| matrix_type(job)),
            ("steps", Some(job)) => self.steps(job, site.steps),
            _ => Type::Any,
        }
    }

    fn cached(&self, job: &Job, name: &'static str, build: impl FnOnce(&Self) -> Type) -> Type {
        let key = (std::ptr::from_ref(job) as usize, name);
        if let Some(known) = self.per_job.borrow().get(&key) {
            return known.clone();
        }
        let made = build(self);
        self.per_job.borrow_mut().insert(key, made.clone());
        made
    }

    fn find(&self, id: &str) -> Option<&'a Job> {
        self.by_id.get(&id.to_ascii_lowercase()).copied()
    }

    fn needs(&self, job: &Job) -> Type {
        let mut fields = Vec::new();
        for need in &job.needs {
            if let Some(needed) = self.find(&need.value) {
                fields.push((Arc::from(needed.id.value.as_str()), self.job_result(needed)));
            } else {
                // The missing job is another finding; here it may be anything.
                fields.push((Arc::from(need.value.as_str()), Type::Any));
            }
        }
        Type::closed(Kind::Needs, fields)
    }

    fn all_jobs(&self) -> Type {
        let jobs = self.workflow.jobs.iter();
        Type::closed(Kind::Jobs, jobs.map(|j| (Arc::from(j.id.value.as_str()), self.job_result(j))).collect())
    }

    fn job_result(&self, job: &Job) -> Type {
        let id: Arc<str> = job.id.value.as_str().into();
        let mut fields: Vec<(Arc<str>, Type)> =
            vec![("outputs".into(), self.job_outputs(job)), ("result".into(), Type::String)];
        if self.workflow.dialect == Dialect::Tidegate {
            let artifacts = match &job.kind {
                JobKind::Call(_) => Type::Any,
                JobKind::Steps(_) => {
                    let names = job.ml.produces.iter().map(|p| (Arc::from(p.name.value.as_str()), Type::Any));
                    Type::closed(Kind::Artifacts(id), names.collect())
                }
            };
            let metrics = Type::open(Kind::Plain, Vec::new(), Type::Any);
            let instance = Type::closed(
                Kind::Fixed("instances"),
                vec![
                    ("matrix".into(), Type::Any),
                    ("result".into(), Type::String),
                    ("outputs".into(), self.job_outputs(job)),
                    ("metrics".into(), metrics.clone()),
                    ("artifacts".into(), artifacts.clone()),
                ],
            );
            fields.push(("metrics".into(), metrics));
            fields.push(("artifacts".into(), artifacts));
            fields.push(("instances".into(), Type::array(instance)));
        }
        Type::closed(Kind::Fixed("needs"), fields)
    }

    /// The type of one element of `needs.<job>.instances`.
    pub fn instance(&self, job: &str) -> Type {
        let Some(Type::Object(shape)) = self.find(job).map(|j| self.job_result(j)) else {
            return Type::Any;
        };
        match shape.get("instances") {
            Some(Type::Array(instance)) => instance.as_ref().clone(),
            _ => Type::Any,
        }
    }

    fn job_outputs(&self, job: &Job) -> Type {
        let kind = Kind::JobOutputs(job.id.value.as_str().into());
        let names: Vec<&str> = match &job.kind {
            JobKind::Steps(_) => job.outputs.iter().map(|(n, _)| n.value.as_str()).collect(),
            JobKind::Call(call) => {
                let path = call.uses.value.strip_prefix("./").unwrap_or(&call.uses.value);
                match self.called.get(path).and_then(|w| w.on.call.as_ref()) {
                    Some(interface) => interface.outputs.iter().map(|(n, _)| n.value.as_str()).collect(),
                    None => return Type::open(kind, Vec::new(), Type::Any),
                }
            }
        };
        Type::closed(kind, names.into_iter().map(|n| (n.into(), Type::String)).collect())
    }

    fn steps(&self, job: &Job, count: usize) -> Type {
        let key = (std::ptr::from_ref(job) as usize, count);
        if let Some(known) = self.steps.borrow().get(&key) {
            return known.clone();
        }
        let JobKind::Steps(steps) = &job.kind else {
            return Type::Any;
        };
        let named = steps.iter().take(count).filter_map(|s| s.id.as_ref().map(|id| (id, s)));
        let fields = named.map(|(id, step)| (Arc::from(id.value.as_str()), self.step(&id.value, step)));
        let made = Type::closed(Kind::Steps, fields.collect());
        self.steps.borrow_mut().insert(key, made.clone());
        made
    }

    fn step(&self, id: &str, step: &Step) -> Type {
        let outputs = match &step.action {
            Action::Uses(uses) => self.action_outputs(id, uses),
            _ => Type::open(Kind::StepOutputs(id.into()), Vec::new(), Type::String),
        };
        let fields = vec![
            ("outputs".into(), outputs),
            ("outcome".into(), Type::String),
            ("conclusion".into(), Type::String),
        ];
        Type::closed(Kind::Fixed("steps"), fields)
    }

    fn action_outputs(&self, id: &str, uses: &Uses) -> Type {
        let kind = Kind::StepOutputs(id.into());
        if !uses.uses.value.starts_with("./") {
            return Type::open(kind, Vec::new(), Type::Any);
        }
        match (self.context.actions)(&uses.uses.value) {
            LocalAction::Found(action) => {
                let names = action.outputs.iter().map(|(n, _)| (Arc::from(n.value.as_str()), Type::String));
                Type::closed(kind, names.collect())
            }
            LocalAction::Missing | LocalAction::Unknown => Type::open(kind, Vec::new(), Type::Any),
        }
    }
}

fn inputs(workflow: &Workflow) -> Type {
    let mut fields: Vec<(Arc<str>, Type)> = Vec::new();
    let called = workflow.on.call.iter().flat_map(|c| &c.inputs);
    for input in workflow.on.dispatch_inputs.iter().chain(called) {
        let kind = input_type(input);
        match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(&input.name.value)) {
            Some((_, known)) => *known = known.clone().join(kind),
            None => fields.push((input.name.value.as_str().into(), kind)),
        }
    }
    Type::closed(Kind::Inputs, fields)
}

/// The inputs in the event of a run by hand: all are text there. Other events have none.
fn event_inputs(workflow: &Workflow) -> Option<Type> {
    let names = workflow.on.dispatch_inputs.iter().map(|i| (Arc::from(i.name.value.as_str()), Type::String));
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| Type::closed(Kind::Inputs, names))
}

fn input_type(input: &Input) -> Type {
    match input.kind {
        InputKind::Number => Type::Number,
        InputKind::Boolean => Type::Bool,
        InputKind::String | InputKind::Choice | InputKind::Environment => Type::String,
    }
}

/// Secrets are known only where a workflow can be nothing but called and names its secrets.
fn secrets(workflow: &Workflow) -> Type {
    let only_called = workflow.on.events.iter().all(|e| e.name.value == "workflow_call");
    match &workflow.on.call {
        Some(call) if only_called && !call.secrets.is_empty() => {
            let names = call.secrets.iter().map(|(n, _)| n.value.as_str());
            let given = ["GITHUB_TOKEN", "ACTIONS_STEP_DEBUG", "ACTIONS_RUNNER_DEBUG"];
            let fields = names.chain(given).map(|n| (Arc::from(n), Type::String)).collect();
            Type::closed(Kind::Secrets, fields)
        }
        _ => Type::open(Kind::Secrets, Vec::new(), Type::String),
    }
}

fn data(workflow: &Workflow) -> Type {
    let source = |name: &str| {
        let list = || Type::array(Type::Any);
        let fields = vec![
            ("uri".into(), Type::String),
            ("version".into(), Type::String),
            ("added".into(), list()),
            ("changed".into(), list()),
            ("removed".into(), list()),
        ];
        (Arc::from(name), Type::closed(Kind::Fixed("data"), fields))
    };
    Type::closed(Kind::Data, workflow.data.iter().map(|d| source(&d.name.value)).collect())
}
