//! The `JobSpec` of one attempt: what its agent needs, templates as text, no secret value.

use super::reads::Reads;
use super::{Contexts, instance, steps};
use crate::job::{EnvLayer, JobSpec, MetricsSpec, ProduceSpec, SourceSpec};
use crate::run::ReadySettings;
use tidegate_lang::expr::Template;
use tidegate_lang::source::Sources;
use tidegate_lang::workflow::{Dialect, Env, Job, JobKind, Metrics, Workflow};

/// What only the engine knows of an attempt.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The run's ULID.
    pub run: &'a str,
    /// For people.
    pub run_number: u64,
    /// What people see of the instance, as evaluated.
    pub display: &'a str,
    /// Index of the instance in its job, from 0.
    pub instance: u32,
    /// From 1.
    pub attempt: u32,
    /// Unique for this attempt.
    pub token: &'a str,
    /// The tree.
    pub source: &'a SourceSpec,
    /// GPUs by index.
    pub gpus: Option<Vec<u32>>,
    /// Whether `::debug::` lines are shown.
    pub debug: bool,
    /// Names of all secrets there are; the spec lists those the job can read.
    pub secrets: &'a [String],
    /// The texts, for line numbers.
    pub sources: &'a Sources,
}

/// Builds the spec of an attempt. `contexts` are those of the instance (`instance_contexts`).
pub fn job_spec(
    workflow: &Workflow,
    job: &Job,
    settings: &ReadySettings,
    contexts: &Contexts,
    attempt: &Attempt<'_>,
) -> Result<JobSpec, String> {
    let JobKind::Steps(written) = &job.kind else {
        return Err("a job that calls a workflow has no steps of its own".to_owned());
    };
    let retries: Vec<_> = written
        .iter()
        .map(|step| step.retry.as_ref().map(|given| instance::retry(given, contexts)).transpose())
        .collect::<Result<_, _>>()?;
    let mut reads = reads(workflow, job);
    if settings.pod.template.is_some() {
        // What a template reads is known only when it is rendered.
        reads.whole("matrix");
    }
    let shell = job.defaults.shell.as_ref().or(workflow.defaults.shell.as_ref());
    let folder = job.defaults.working_directory.as_ref().or(workflow.defaults.working_directory.as_ref());
    Ok(JobSpec {
        version: 1,
        run: attempt.run.to_owned(),
        run_number: attempt.run_number,
        job: job.id.value.clone(),
        display: attempt.display.to_owned(),
        instance: attempt.instance,
        attempt: attempt.attempt,
        token: attempt.token.to_owned(),
        dialect: dialect(workflow.dialect).to_owned(),
        source: attempt.source.clone(),
        contexts: reads.prune(contexts.iter().filter(|(name, _)| *name != "secrets")),
        secrets: reads.names("secrets", attempt.secrets),
        env: [&workflow.env, &job.env].into_iter().map(env_layer).collect(),
        shell: shell.map(raw),
        working_directory: folder.map(raw),
        steps: steps::specs(written, retries, attempt.sources)?,
        outputs: job.outputs.iter().map(|(name, value)| (name.value.clone(), raw(value))).collect(),
        timeout_seconds: settings.timeout_seconds,
        grace_seconds: settings.grace_seconds,
        consumes: settings.consumes.clone(),
        produces: produces(job),
        metrics: metrics(job.ml.metrics.as_ref()),
        params: metrics(job.ml.params.as_ref()),
        python: settings.python.clone(),
        checkpoint: settings.checkpoint.clone(),
        gpus: attempt.gpus.clone(),
        image: settings.image.clone(),
        resources: settings.resources.clone(),
        pod: settings.pod.clone(),
        environment_url: job.environment.as_ref().and_then(|given| given.url.as_ref()).map(raw),
        debug: attempt.debug,
    })
}

/// The dialect's word.
fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Github => "github",
        Dialect::Tidegate => "tidegate",
    }
}

pub(super) fn raw(template: &Template) -> String {
    template.raw.to_string()
}

/// An `env` mapping as it travels.
pub(super) fn env_layer(env: &Env) -> EnvLayer {
    EnvLayer {
        variables: env.variables.iter().map(|(name, value)| (name.value.clone(), raw(value))).collect(),
        expression: env.expression.as_ref().map(raw),
    }
}

/// `produces` as it travels.
pub(super) fn produces(job: &Job) -> Vec<ProduceSpec> {
    job.ml
        .produces
        .iter()
        .map(|given| ProduceSpec {
            name: given.name.value.clone(),
            path: raw(&given.path),
            ignore_missing: given.ignore_missing,
        })
        .collect()
}

/// `metrics` or `params` as it travels.
pub(super) fn metrics(given: Option<&Metrics>) -> MetricsSpec {
    given.map_or_else(MetricsSpec::default, |given| MetricsSpec {
        files: given.files.iter().map(raw).collect(),
        goals: given.goals.iter().map(|(name, goal)| (name.value.clone(), goal.value.clone())).collect(),
    })
}

/// Returns what the agent's templates of a job can reach. `github` is always there: the agent makes
/// the event file and the `GITHUB_` variables from it. A local action's steps may read more than
/// the workflow file shows.
pub(super) fn reads(workflow: &Workflow, job: &Job) -> Reads {
    let mut reads = Reads::default();
    reads.whole("github");
    read_into(workflow, job, &mut reads);
    reads
}

/// Adds what the agent's templates of a job can reach.
pub(super) fn read_into(workflow: &Workflow, job: &Job, reads: &mut Reads) {
    reads.env(&workflow.env);
    reads.env(&job.env);
    for defaults in [&workflow.defaults, &job.defaults] {
        reads.each([&defaults.shell, &defaults.working_directory].into_iter().flatten());
    }
    reads.each(job.outputs.iter().map(|(_, value)| value));
    reads.each(job.ml.produces.iter().map(|given| &given.path));
    for given in [&job.ml.metrics, &job.ml.params].into_iter().flatten() {
        reads.each(given.files.iter());
    }
    if let Some(environment) = &job.environment {
        reads.each(environment.url.iter());
    }
    // Their secrets are filled in where the pod is made.
    for (_, service) in &job.services {
        reads.env(&service.env);
    }
    let container = super::pod::container(workflow, job);
    if let Some(container) = container {
        reads.env(&container.env);
    }
    for given in job.services.iter().map(|(_, service)| service).chain(container) {
        reads.each(given.credentials.iter().flat_map(|(name, word)| [name, word]));
    }
    if let JobKind::Steps(steps) = &job.kind {
        for step in steps {
            steps::reads(step, reads);
        }
    }
}
