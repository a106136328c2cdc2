//! Every template of a workflow with the key it stands under.
//!
//! Not here: what its contexts hold there (`scope`).

use crate::expr::Template;
use crate::workflow::{
    Action, ActionFile, Concurrency, Container, Dynamic, Env, Job, JobKind, Resources, Retry, Run, Step,
    Tree, TreeKind, Uses, Workflow,
};

/// One template and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// The template.
    pub template: &'a Template,
    /// The key, as GitHub's table of context availability spells it.
    pub key: &'static str,
    /// What its value becomes.
    pub sink: Sink,
    /// The job it belongs to.
    pub job: Option<&'a Job>,
    /// How many of the job's steps have run when it is evaluated.
    pub steps: usize,
    /// The step it belongs to.
    pub step: Option<&'a Step>,
}

/// What becomes of a template's value, where that is dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// Nothing in particular.
    Value,
    /// A script that a shell or an interpreter reads.
    Script,
    /// An image to pull.
    Image,
    /// A path, or options of a command line.
    Path,
    /// Where a job runs, and with what.
    Machine,
}

/// Inputs of well-known actions that are programs: the action, and the input.
const PROGRAMS: &[(&str, &str)] = &[
    ("actions/github-script", "script"),
    ("amadevus/pwsh-script", "script"),
    ("appleboy/ssh-action", "script"),
    ("azure/cli", "inlinescript"),
    ("azure/powershell", "inlinescript"),
    ("cardinalby/js-eval-action", "expression"),
    ("jannekem/run-python-script-action", "script"),
    ("mikefarah/yq", "cmd"),
];

struct Walk<'a> {
    sites: Vec<Site<'a>>,
    job: Option<&'a Job>,
    step: Option<&'a Step>,
    steps: usize,
}

/// Collects all templates of a workflow that hold an expression.
pub(super) fn collect(workflow: &Workflow) -> Vec<Site<'_>> {
    let mut walk = Walk { sites: Vec::new(), job: None, step: None, steps: 0 };
    walk.option("run-name", Sink::Value, workflow.run_name.as_ref());
    for input in &workflow.on.dispatch_inputs {
        walk.tree_option("on.workflow_dispatch.inputs.<inputs_id>.default", input.default.as_ref());
    }
    if let Some(call) = &workflow.on.call {
        for input in &call.inputs {
            walk.tree_option("on.workflow_call.inputs.<inputs_id>.default", input.default.as_ref());
        }
        for (_, value) in &call.outputs {
            walk.add("on.workflow_call.outputs.<output_id>.value", Sink::Value, value);
        }
    }
    for source in &workflow.data {
        walk.add("data.<name>.uri", Sink::Path, &source.uri);
    }
    walk.env("env", &workflow.env);
    walk.concurrency("concurrency", workflow.concurrency.as_ref());
    walk.option("defaults.run", Sink::Script, workflow.defaults.shell.as_ref());
    walk.option("defaults.run", Sink::Path, workflow.defaults.working_directory.as_ref());
    for job in &workflow.jobs {
        walk.job = Some(job);
        walk.job_keys(job);
        walk.job_ml(job);
        if let JobKind::Steps(steps) = &job.kind {
            for (index, step) in steps.iter().enumerate() {
                walk.step = Some(step);
                walk.steps = index;
                walk.step_keys(step);
            }
            walk.step = None;
            walk.steps = steps.len();
        }
        for (_, value) in &job.outputs {
            walk.add("jobs.<job_id>.outputs.<output_id>", Sink::Value, value);
        }
        walk.option(
            "jobs.<job_id>.environment.url",
            Sink::Value,
            job.environment.as_ref().and_then(|e| e.url.as_ref()),
        );
        walk.steps = 0;
    }
    walk.sites
}

/// Collects all templates of a composite action's steps that hold an expression.
pub(super) fn collect_action(action: &ActionFile) -> Vec<Site<'_>> {
    let mut walk = Walk { sites: Vec::new(), job: None, step: None, steps: 0 };
    for (index, step) in action.steps.iter().enumerate() {
        walk.step = Some(step);
        walk.steps = index;
        walk.step_keys(step);
    }
    walk.sites
}

impl<'a> Walk<'a> {
    fn add(&mut self, key: &'static str, sink: Sink, template: &'a Template) {
        if !template.is_literal() {
            let (job, step, steps) = (self.job, self.step, self.steps);
            self.sites.push(Site { template, key, sink, job, steps, step });
        }
    }

    fn option(&mut self, key: &'static str, sink: Sink, template: Option<&'a Template>) {
        if let Some(template) = template {
            self.add(key, sink, template);
        }
    }

    fn dynamic<T>(&mut self, key: &'static str, value: Option<&'a Dynamic<T>>) {
        if let Some(Dynamic::Expr(template)) = value {
            self.add(key, Sink::Value, template);
        }
    }

    fn env(&mut self, key: &'static str, env: &'a Env) {
        self.option(key, Sink::Value, env.expression.as_ref());
        for (_, value) in &env.variables {
            self.add(key, Sink::Value, value);
        }
    }

    fn tree_option(&mut self, key: &'static str, tree: Option<&'a Tree>) {
        if let Some(tree) = tree {
            self.tree(key, tree);
        }
    }

    fn tree(&mut self, key: &'static str, tree: &'a Tree) {
        self.tree_into(key, Sink::Value, tree);
    }

    fn tree_into(&mut self, key: &'static str, sink: Sink, tree: &'a Tree) {
        match &tree.kind {
            TreeKind::Literal(_) => {}
            TreeKind::Template(template) => self.add(key, sink, template),
            TreeKind::Sequence(items) => items.iter().for_each(|t| self.tree_into(key, sink, t)),
            TreeKind::Mapping(entries) => {
                for (name, value) in entries {
                    self.add(key, sink, &name.value);
                    self.tree_into(key, sink, value);
                }
            }
        }
    }

    fn concurrency(&mut self, key: &'static str, concurrency: Option<&'a Concurrency>) {
        if let Some(concurrency) = concurrency {
            self.add(key, Sink::Value, &concurrency.group);
            self.dynamic(key, concurrency.cancel_in_progress.as_ref());
        }
    }

    fn container(&mut self, key: &'static str, container: &'a Container) {
        self.option(key, Sink::Image, container.image.as_ref());
        self.option(key, Sink::Image, container.expression.as_ref());
        if let Some((user, password)) = &container.credentials {
            self.add("jobs.<job_id>.container.credentials", Sink::Value, user);
            self.add("jobs.<job_id>.container.credentials", Sink::Value, password);
        }
        self.env("jobs.<job_id>.container.env.<env_id>", &container.env);
        for port in &container.ports {
            self.add(key, Sink::Value, port);
        }
        for volume in &container.volumes {
            self.add(key, Sink::Path, volume);
        }
        self.option(key, Sink::Path, container.options.as_ref());
        self.option(key, Sink::Script, container.entrypoint.as_ref());
        self.option(key, Sink::Script, container.command.as_ref());
    }

    fn job_keys(&mut self, job: &'a Job) {
        self.option("jobs.<job_id>.name", Sink::Value, job.name.as_ref());
        self.option("jobs.<job_id>.if", Sink::Value, job.condition.as_ref());
        if let Some(runs_on) = &job.runs_on {
            for label in &runs_on.labels {
                self.add("jobs.<job_id>.runs-on", Sink::Machine, label);
            }
            self.option("jobs.<job_id>.runs-on", Sink::Machine, runs_on.group.as_ref());
        }
        if let Some(container) = &job.container {
            self.container("jobs.<job_id>.container", container);
        }
        for (_, service) in &job.services {
            self.container("jobs.<job_id>.services", service);
        }
        if let Some(strategy) = &job.strategy {
            self.option("jobs.<job_id>.strategy", Sink::Value, strategy.expression.as_ref());
            self.tree_option("jobs.<job_id>.strategy", strategy.matrix.as_ref());
            self.dynamic("jobs.<job_id>.strategy", strategy.fail_fast.as_ref());
            self.dynamic("jobs.<job_id>.strategy", strategy.max_parallel.as_ref().map(|m| &m.value));
        }
        self.env("jobs.<job_id>.env", &job.env);
        self.option("jobs.<job_id>.defaults.run", Sink::Script, job.defaults.shell.as_ref());
        self.option("jobs.<job_id>.defaults.run", Sink::Path, job.defaults.working_directory.as_ref());
        let minutes = [&job.timeout_minutes, &job.cancel_timeout_minutes];
        for value in minutes.into_iter().flatten() {
            self.dynamic("jobs.<job_id>.timeout-minutes", Some(&value.value));
        }
        self.dynamic("jobs.<job_id>.continue-on-error", job.continue_on_error.as_deref());
        self.concurrency("jobs.<job_id>.concurrency", job.concurrency.as_deref());
        if let Some(environment) = &job.environment {
            self.add("jobs.<job_id>.environment", Sink::Value, &environment.name);
            self.tree_option("jobs.<job_id>.environment", environment.deployment.as_ref());
        }
        if let JobKind::Call(call) = &job.kind {
            for (_, value) in &call.with {
                self.tree("jobs.<job_id>.with.<with_id>", value);
            }
            for (_, value) in &call.secrets {
                self.add("jobs.<job_id>.secrets.<secrets_id>", Sink::Value, value);
            }
        }
    }

    fn resources(&mut self, resources: Option<&'a Resources>) {
        const KEY: &str = "jobs.<job_id>.resources";
        let Some(r) = resources else { return };
        for value in [&r.cpu, &r.memory, &r.ephemeral_storage, &r.shm] {
            self.option(KEY, Sink::Machine, value.as_ref());
        }
        if let Some(gpu) = &r.gpu {
            self.tree_into(KEY, Sink::Machine, gpu);
        }
    }

    fn retry(&mut self, retry: Option<&'a Retry>) {
        const KEY: &str = "jobs.<job_id>.retry";
        let Some(retry) = retry else { return };
        for value in [&retry.attempts, &retry.infra].into_iter().flatten() {
            self.dynamic(KEY, Some(&value.value));
        }
        self.tree_option(KEY, retry.backoff.as_ref());
        self.tree_option(KEY, retry.oom.as_ref());
    }

    fn job_ml(&mut self, job: &'a Job) {
        let ml = &job.ml;
        if let Some(python) = &ml.python {
            self.option("jobs.<job_id>.python", Sink::Value, python.version.as_ref());
            self.option("jobs.<job_id>.python", Sink::Path, python.requirements.as_ref());
            for package in &python.packages {
                self.add("jobs.<job_id>.python", Sink::Path, package);
            }
        }
        self.resources(ml.resources.as_deref());
        self.option("jobs.<job_id>.pod-template", Sink::Path, ml.pod_template.as_ref());
        if let Some(queue) = &ml.queue {
            self.add("jobs.<job_id>.queue", Sink::Machine, &queue.name);
            self.option("jobs.<job_id>.queue", Sink::Machine, queue.priority.as_ref());
        }
        self.dynamic("jobs.<job_id>.nodes", ml.nodes.as_ref().map(|n| &n.value));
        self.tree_option("jobs.<job_id>.spot", ml.spot.as_ref());
        self.retry(ml.retry.as_deref());
        if let Some(checkpoint) = &ml.checkpoint {
            self.add("jobs.<job_id>.checkpoint", Sink::Path, &checkpoint.path);
            self.option("jobs.<job_id>.checkpoint", Sink::Value, checkpoint.every.as_ref());
            self.option("jobs.<job_id>.checkpoint", Sink::Value, checkpoint.grace.as_ref());
            self.option("jobs.<job_id>.checkpoint", Sink::Machine, checkpoint.volume.as_ref());
        }
        for consume in &ml.consumes {
            self.add("jobs.<job_id>.consumes", Sink::Value, &consume.from);
        }
        if let Some(cache) = &ml.cache {
            self.dynamic("jobs.<job_id>.cache", Some(&cache.enabled));
            for input in &cache.inputs {
                self.add("jobs.<job_id>.cache", Sink::Path, input);
            }
            self.option("jobs.<job_id>.cache", Sink::Value, cache.key.as_ref());
            self.option("jobs.<job_id>.cache", Sink::Value, cache.version.as_ref());
        }
        let steps = std::mem::replace(&mut self.steps, usize::MAX);
        for produce in &ml.produces {
            self.add("jobs.<job_id>.produces", Sink::Path, &produce.path);
        }
        for file in [&ml.metrics, &ml.params].into_iter().flatten().flat_map(|m| &m.files) {
            self.add("jobs.<job_id>.metrics", Sink::Path, file);
        }
        self.steps = steps;
    }

    fn step_keys(&mut self, step: &'a Step) {
        self.option("jobs.<job_id>.steps.name", Sink::Value, step.name.as_ref());
        self.option("jobs.<job_id>.steps.if", Sink::Value, step.condition.as_ref());
        self.env("jobs.<job_id>.steps.env", &step.env);
        self.dynamic("jobs.<job_id>.steps.continue-on-error", step.continue_on_error.as_deref());
        let minutes = step.timeout_minutes.as_ref().map(|m| &m.value);
        self.dynamic("jobs.<job_id>.steps.timeout-minutes", minutes);
        if let Some(container) = &step.container {
            self.container("jobs.<job_id>.steps.container", container);
        }
        self.resources(step.resources.as_deref());
        self.retry(step.retry.as_deref());
        match &step.action {
            Action::Run(run) => self.run(run),
            Action::Uses(uses) => self.uses(uses),
            Action::Gate(gate) => {
                for bound in gate.metrics.iter().flat_map(|(_, bounds)| bounds) {
                    self.add("jobs.<job_id>.steps.gate", Sink::Value, &bound.limit);
                }
                for expect in &gate.expect {
                    self.add("jobs.<job_id>.steps.gate", Sink::Value, expect);
                }
                self.option("jobs.<job_id>.steps.gate", Sink::Value, gate.baseline.as_ref());
            }
            Action::Validate(validate) => {
                self.add("jobs.<job_id>.steps.validate", Sink::Path, &validate.data);
                self.option("jobs.<job_id>.steps.validate", Sink::Path, validate.schema.as_ref());
                for part in [&validate.rows, &validate.unique, &validate.nulls, &validate.drift] {
                    self.tree_option("jobs.<job_id>.steps.validate", part.as_ref());
                }
            }
            Action::Notebook(notebook) => {
                self.add("jobs.<job_id>.steps.notebook", Sink::Path, &notebook.path);
                self.tree_option("jobs.<job_id>.steps.notebook", notebook.params.as_ref());
                self.option("jobs.<job_id>.steps.notebook", Sink::Value, notebook.kernel.as_ref());
                self.option("jobs.<job_id>.steps.notebook", Sink::Path, notebook.output.as_ref());
            }
            Action::Register(register) => self.tree("jobs.<job_id>.steps.register", &register.fields),
            Action::Deploy(deploy) => self.tree("jobs.<job_id>.steps.deploy", &deploy.fields),
            Action::Coordinate(_) => {}
        }
    }

    fn run(&mut self, run: &'a Run) {
        self.add("jobs.<job_id>.steps.run", Sink::Script, &run.script);
        self.option("jobs.<job_id>.steps.run", Sink::Script, run.shell.as_ref());
        self.option("jobs.<job_id>.steps.working-directory", Sink::Path, run.working_directory.as_ref());
    }

    fn uses(&mut self, uses: &'a Uses) {
        let action = uses.uses.value.split('@').next().unwrap_or_default();
        let program = PROGRAMS.iter().find(|(name, _)| name.eq_ignore_ascii_case(action)).map(|(_, i)| i);
        for (name, value) in &uses.with {
            let is_program = program.is_some_and(|input| name.value.eq_ignore_ascii_case(input));
            let sink = if is_program { Sink::Script } else { Sink::Value };
            self.add("jobs.<job_id>.steps.with", sink, value);
        }
    }
}
