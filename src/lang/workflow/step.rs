//! One step.

use super::{Container, Deploy, Dynamic, Env, Gate, Notebook, Register, Resources, Retry, Tree, Validate};
use crate::expr::Template;
use crate::source::{Span, Spanned};

/// One entry of `steps`, of a job or of a composite action.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `id`, where written.
    pub id: Option<Spanned<String>>,
    /// `name`.
    pub name: Option<Template>,
    /// `if`.
    pub condition: Option<Template>,
    /// `env`.
    pub env: Env,
    /// `continue-on-error`.
    pub continue_on_error: Option<Box<Dynamic<bool>>>,
    /// `timeout-minutes`, in minutes.
    pub timeout_minutes: Option<Box<Spanned<Dynamic<f64>>>>,
    /// `container` (Tidegate).
    pub container: Option<Box<Container>>,
    /// `resources` (Tidegate).
    pub resources: Option<Box<Resources>>,
    /// `retry` (Tidegate).
    pub retry: Option<Box<Retry>>,
    /// `background`: read, not run.
    pub background: bool,
    /// What it does.
    pub action: Action,
    /// Where.
    pub span: Span,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `run`.
    Run(Run),
    /// `uses`.
    Uses(Uses),
    /// `gate`.
    Gate(Gate),
    /// `validate`.
    Validate(Box<Validate>),
    /// `notebook`.
    Notebook(Box<Notebook>),
    /// `register`.
    Register(Register),
    /// `deploy`.
    Deploy(Deploy),
    /// GitHub's `wait`, `wait-all`, `cancel` and `parallel` steps, by their key: read, not run.
    Coordinate(Spanned<String>),
}

/// `run` and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The script.
    pub script: Template,
    /// `shell`.
    pub shell: Option<Template>,
    /// `working-directory`.
    pub working_directory: Option<Template>,
}

/// `uses` and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Uses {
    /// `./path`, `owner/repo@ref`, `docker://image`.
    pub uses: Spanned<String>,
    /// `with`.
    pub with: Vec<(Spanned<String>, Template)>,
    /// The whole of `with` as one expression.
    pub with_expression: Option<Template>,
}

/// An `action.yml`: only composite ones can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionFile {
    /// `name`.
    pub name: Option<Spanned<String>>,
    /// `inputs`: name, default, required.
    pub inputs: Vec<ActionInput>,
    /// `outputs`: name and value.
    pub outputs: Vec<(Spanned<String>, Template)>,
    /// `runs.using`, such as `composite` or `node20`.
    pub using: Spanned<String>,
    /// `runs.steps` of a composite action.
    pub steps: Vec<Step>,
    /// The rest of `runs`, for messages.
    pub runs: Tree,
}

/// One input of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionInput {
    /// Its name.
    pub name: Spanned<String>,
    /// `default`.
    pub default: Option<Template>,
    /// `required`.
    pub required: bool,
    /// `deprecationMessage`.
    pub deprecation: Option<String>,
}
