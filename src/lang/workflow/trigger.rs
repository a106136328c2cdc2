//! `on`: what starts a workflow.

use super::Tree;
use crate::expr::Template;
use crate::source::{Span, Spanned};

/// `on`, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Triggers {
    /// Events in file order. `schedule`, `workflow_dispatch`, `workflow_call`, `data` and `model`
    /// are here too, with an [`Event`] that has no filters.
    pub events: Vec<Event>,
    /// `schedule`.
    pub schedule: Vec<Schedule>,
    /// `workflow_dispatch.inputs`.
    pub dispatch_inputs: Vec<Input>,
    /// `workflow_call`; `None` if the workflow cannot be called.
    pub call: Option<CallInterface>,
    /// `data`: subscriptions by source name.
    pub data: Vec<DataTrigger>,
    /// `model`: subscriptions by model name.
    pub model: Vec<ModelTrigger>,
}

/// One event with its filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// GitHub's name, such as `pull_request`.
    pub name: Spanned<String>,
    /// `types`; `None` where absent.
    pub types: Option<Vec<Spanned<String>>>,
    /// `branches`.
    pub branches: Option<Vec<Spanned<String>>>,
    /// `branches-ignore`.
    pub branches_ignore: Option<Vec<Spanned<String>>>,
    /// `tags`.
    pub tags: Option<Vec<Spanned<String>>>,
    /// `tags-ignore`.
    pub tags_ignore: Option<Vec<Spanned<String>>>,
    /// `paths`.
    pub paths: Option<Vec<Spanned<String>>>,
    /// `paths-ignore`.
    pub paths_ignore: Option<Vec<Spanned<String>>>,
    /// `workflows` of `workflow_run`.
    pub workflows: Option<Vec<Spanned<String>>>,
}

/// One line of `schedule`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Five fields, POSIX.
    pub cron: Spanned<String>,
    /// An IANA name; UTC when absent.
    pub timezone: Option<Spanned<String>>,
}

/// One input of `workflow_dispatch` or `workflow_call`.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type; `string` when absent.
    pub kind: InputKind,
    /// `required`.
    pub required: bool,
    /// `default`.
    pub default: Option<Tree>,
    /// `options` of a choice.
    pub options: Vec<Spanned<String>>,
    /// `description`.
    pub description: Option<String>,
}

/// Types of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// `string`
    String,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
    /// `choice` (dispatch only)
    Choice,
    /// `environment` (dispatch only)
    Environment,
}

/// `workflow_call`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallInterface {
    /// `inputs`.
    pub inputs: Vec<Input>,
    /// `secrets`: name and whether required.
    pub secrets: Vec<(Spanned<String>, bool)>,
    /// `outputs`: name and value.
    pub outputs: Vec<(Spanned<String>, Template)>,
}

/// `on.data.<name>`.
#[derive(Clone, Debug, PartialEq)]
pub struct DataTrigger {
    /// The source of `data` it subscribes to.
    pub source: Spanned<String>,
    /// Poll interval in seconds.
    pub every: Option<Spanned<f64>>,
    /// Quiet time in seconds.
    pub settle: Option<Spanned<f64>>,
}

/// `on.model.<name>`.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTrigger {
    /// The registered model.
    pub model: Spanned<String>,
    /// The alias that moves.
    pub alias: Spanned<String>,
    /// Where.
    pub span: Span,
}
