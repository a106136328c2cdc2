//! What the rules must be told from outside: the project's local actions.

use super::access::Inside;
use crate::expr::{Expr, Template};
use crate::source::{Sources, Span};
use crate::workflow::{Action, ActionFile, JobKind, Linked, Step};
use std::sync::Arc;

/// What stands at the path of a local action.
#[derive(Clone, Debug)]
pub enum LocalAction {
    /// Its file, read and parsed.
    Found(Arc<ActionFile>),
    /// There is no `action.yml` or `action.yaml`.
    Missing,
    /// Not known: nobody looked, or it could not be read.
    Unknown,
}

/// What one check may ask.
#[derive(Clone, Copy)]
pub struct CheckContext<'a> {
    /// The texts of the workflow and of those it calls, for exact places inside of values.
    pub sources: &'a Sources,
    /// Finds a local action by the text of `uses`, such as `./.github/actions/setup`.
    pub actions: &'a dyn Fn(&str) -> LocalAction,
}

/// Returns the `uses` of all local actions that a workflow, those it calls and those actions use,
/// each once, in the order in which they are met.
pub fn local_actions(linked: &Linked, actions: &dyn Fn(&str) -> LocalAction) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let workflows = std::iter::once(&linked.root).chain(linked.called.values());
    for job in workflows.flat_map(|workflow| &workflow.jobs) {
        if let JobKind::Steps(steps) = &job.kind {
            uses_of(steps, &mut found);
        }
    }
    let mut next = 0;
    while let Some(uses) = found.get(next) {
        if let LocalAction::Found(action) = actions(uses) {
            uses_of(&action.steps, &mut found);
        }
        next += 1;
    }
    found
}

fn uses_of(steps: &[Step], found: &mut Vec<String>) {
    for step in steps {
        if let Action::Uses(uses) = &step.action
            && uses.uses.value.starts_with("./")
            && !found.contains(&uses.uses.value)
        {
            found.push(uses.uses.value.clone());
        }
    }
}

/// Knows no local action: every one is [`LocalAction::Unknown`].
pub fn no_actions(_uses: &str) -> LocalAction {
    LocalAction::Unknown
}

impl CheckContext<'_> {
    /// Returns where a part of a template's text is written.
    pub(super) fn place_in_text(&self, template: &Template, at: usize, length: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Inside { template, at: 0 }.place_of(offset(at), offset(at + length), self.sources)
    }

    /// Returns where a part of an expression is written.
    pub(super) fn place(&self, inside: Inside<'_>, expr: &Expr) -> Span {
        inside.place(expr, self.sources)
    }
}
