//! One job.

use super::{
    Cache, Checkpoint, Concurrency, Consume, Defaults, Dynamic, Env, Environment, Metrics, Permissions,
    Produce, Python, Queue, Resources, Retry, Step, Tree,
};
use crate::expr::Template;
use crate::source::{Span, Spanned};
use std::sync::Arc;

/// One entry of `jobs`.
// A workflow may have thousands of jobs: what is big and rare is boxed, or shared by all that do not say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: Spanned<String>,
    /// `name`.
    pub name: Option<Template>,
    /// `needs` in file order.
    pub needs: Vec<Spanned<String>>,
    /// `if`; the text is one expression, with or without `${{ }}`.
    pub condition: Option<Template>,
    /// `runs-on`.
    pub runs_on: Option<Box<RunsOn>>,
    /// `container`.
    pub container: Option<Box<Container>>,
    /// `services`, whole.
    pub services: Vec<(Spanned<String>, Container)>,
    /// `strategy`.
    pub strategy: Option<Box<Strategy>>,
    /// `env`.
    pub env: Env,
    /// `defaults`.
    pub defaults: Arc<Defaults>,
    /// `outputs`.
    pub outputs: Vec<(Spanned<String>, Template)>,
    /// `timeout-minutes`, in minutes.
    pub timeout_minutes: Option<Box<Spanned<Dynamic<f64>>>>,
    /// `cancel-timeout-minutes`, in minutes.
    pub cancel_timeout_minutes: Option<Box<Spanned<Dynamic<f64>>>>,
    /// Where `snapshot` is written: read, not carried out.
    pub snapshot: Option<Span>,
    /// `continue-on-error`.
    pub continue_on_error: Option<Box<Dynamic<bool>>>,
    /// `concurrency`.
    pub concurrency: Option<Box<Concurrency>>,
    /// `environment`.
    pub environment: Option<Box<Environment>>,
    /// `permissions`.
    pub permissions: Option<Box<Permissions>>,
    /// Steps of its own, or a call of another workflow.
    pub kind: JobKind,
    /// Tidegate's keys.
    pub ml: Arc<JobMl>,
    /// Where the whole job is written.
    pub span: Span,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq)]
pub enum JobKind {
    /// `steps`.
    Steps(Vec<Step>),
    /// `uses`.
    Call(Box<Call>),
}

/// A call of a reusable workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `uses`: `./path` (executed) or `owner/repo/path@ref` (refused by Tidegate's `check`).
    pub uses: Spanned<String>,
    /// `with`.
    pub with: Vec<(Spanned<String>, Tree)>,
    /// `secrets`: names and values.
    pub secrets: Vec<(Spanned<String>, Template)>,
    /// `secrets: inherit`.
    pub inherit_secrets: bool,
}

/// `runs-on`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunsOn {
    /// Labels; an expression may give a list.
    pub labels: Vec<Template>,
    /// `group`.
    pub group: Option<Template>,
    /// Where.
    pub span: Span,
}

/// `container`, and each of `services`.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// `image`; `None` when the whole value is `expression`.
    pub image: Option<Template>,
    /// The whole value as one expression.
    pub expression: Option<Template>,
    /// `credentials.username` and `.password`.
    pub credentials: Option<(Template, Template)>,
    /// `env`.
    pub env: Env,
    /// `ports`.
    pub ports: Vec<Template>,
    /// `volumes`.
    pub volumes: Vec<Template>,
    /// `options`.
    pub options: Option<Template>,
    /// `entrypoint` and `command` of services.
    pub entrypoint: Option<Template>,
    /// See `entrypoint`.
    pub command: Option<Template>,
    /// Where.
    pub span: Span,
}

/// `strategy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// The whole value as one expression.
    pub expression: Option<Template>,
    /// `matrix`: a mapping of vectors with `include` and `exclude`, or one expression.
    pub matrix: Option<Tree>,
    /// `fail-fast`; true when absent.
    pub fail_fast: Option<Dynamic<bool>>,
    /// `max-parallel`.
    pub max_parallel: Option<Spanned<Dynamic<f64>>>,
    /// Where.
    pub span: Span,
}

/// Tidegate's keys of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobMl {
    /// `python`.
    pub python: Option<Box<Python>>,
    /// `resources`.
    pub resources: Option<Box<Resources>>,
    /// `pod-template`.
    pub pod_template: Option<Template>,
    /// `nodes`.
    pub nodes: Option<Spanned<Dynamic<f64>>>,
    /// `queue`.
    pub queue: Option<Box<Queue>>,
    /// `spot`: `true`, or `{fallback: on-demand}`.
    pub spot: Option<Tree>,
    /// `retry`.
    pub retry: Option<Box<Retry>>,
    /// `checkpoint`.
    pub checkpoint: Option<Box<Checkpoint>>,
    /// `produces` by name.
    pub produces: Vec<Produce>,
    /// `consumes` by path.
    pub consumes: Vec<Consume>,
    /// `metrics`.
    pub metrics: Option<Metrics>,
    /// `params`.
    pub params: Option<Metrics>,
    /// `cache`.
    pub cache: Option<Box<Cache>>,
}
