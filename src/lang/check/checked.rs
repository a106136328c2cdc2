//! Runs the rules, and the type that says they found no error.

use super::rules::RULES;
use super::{CheckContext, Facts};
use crate::source::{Diagnostic, Severity, in_order};
use crate::workflow::{Linked, Workflow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that was checked and has no error. Only [`Checked::new`] makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// Accepts what has no error among its findings (of the parser, the linker and the rules);
    /// otherwise gives it back.
    pub fn new(value: T, findings: &[Diagnostic]) -> Result<Self, T> {
        if findings.iter().any(|d| d.severity == Severity::Error) { Err(value) } else { Ok(Self(value)) }
    }

    /// Returns what was checked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Runs all rules over a workflow and all it calls.
pub fn check(linked: &Linked, context: &CheckContext<'_>) -> Vec<Diagnostic> {
    let called = linked.called.values().map(AsRef::as_ref);
    std::iter::once(linked.root.as_ref())
        .chain(called)
        .flat_map(|workflow| check_one(workflow, &linked.called, context))
        .collect()
}

/// Runs all rules over one workflow; `called` are the local workflows that it can call, by path
/// without `./`. Findings come in the order of the file.
pub fn check_one(
    workflow: &Workflow,
    called: &BTreeMap<String, Arc<Workflow>>,
    context: &CheckContext<'_>,
) -> Vec<Diagnostic> {
    let facts = Facts::new(workflow, called, context);
    let mut found: Vec<Diagnostic> = RULES.iter().flat_map(|rule| rule.run(&facts)).collect();
    in_order(&mut found);
    found
}
