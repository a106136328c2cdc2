//! The top of a workflow file.

use super::{DataSource, Dialect, Job, Tree, Triggers};
use crate::expr::Template;
use crate::source::{FileId, Span, Spanned};

/// One workflow file.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// The file it was read from.
    pub file: FileId,
    /// How it was read.
    pub dialect: Dialect,
    /// `name`; the file's name stands in when absent.
    pub name: Option<Spanned<String>>,
    /// `run-name`.
    pub run_name: Option<Template>,
    /// `on`.
    pub on: Triggers,
    /// `env`.
    pub env: Env,
    /// `defaults`.
    pub defaults: Defaults,
    /// `concurrency`.
    pub concurrency: Option<Concurrency>,
    /// `permissions`.
    pub permissions: Option<Permissions>,
    /// `data`: sources by name.
    pub data: Vec<DataSource>,
    /// `jobs` in file order.
    pub jobs: Vec<Job>,
}

/// An `env` mapping: names and values in file order, or one expression that gives the mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Env {
    /// Each variable.
    pub variables: Vec<(Spanned<String>, Template)>,
    /// `env: ${{ … }}`.
    pub expression: Option<Template>,
}

/// `defaults` of a workflow or a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// `run.shell`.
    pub shell: Option<Template>,
    /// `run.working-directory`.
    pub working_directory: Option<Template>,
    /// `container` (Tidegate).
    pub container: Option<Box<super::Container>>,
    /// `python` (Tidegate).
    pub python: Option<Box<super::Python>>,
    /// `pod-template` (Tidegate).
    pub pod_template: Option<Template>,
}

/// `concurrency` of a workflow or a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrency {
    /// The group's name.
    pub group: Template,
    /// Whether a newcomer ends what runs; otherwise it replaces what waits.
    pub cancel_in_progress: Option<super::Dynamic<bool>>,
    /// `queue: single | max` (GitHub, 2026): how many may wait.
    pub queue: Option<Spanned<String>>,
    /// Where.
    pub span: Span,
}

/// `permissions`.
#[derive(Clone, Debug, PartialEq)]
pub struct Permissions {
    /// `read-all`, `write-all`, or `None` for a mapping.
    pub all: Option<Spanned<String>>,
    /// Scope and level.
    pub scopes: Vec<(Spanned<String>, Spanned<String>)>,
    /// Where.
    pub span: Span,
}

/// `environment` of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: Template,
    /// Where the deployment can be seen.
    pub url: Option<Template>,
    /// `deployment`.
    pub deployment: Option<Tree>,
}
