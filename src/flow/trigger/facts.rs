//! What is known of an event when it asks whether it starts a workflow.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use tidegate_lang::value::Value;

/// An event.
#[derive(Clone, Debug, Default)]
pub struct EventFacts {
    /// GitHub's name, such as `pull_request`.
    pub name: String,
    /// `action` of the payload.
    pub activity: Option<String>,
    /// `github.ref`, such as `refs/heads/main`.
    pub reference: String,
    /// The branch that branch filters look at where that is not the ref's: the one a pull request or
    /// a merge queue wants to go to, the one that a `workflow_run` was about.
    pub base: Option<String>,
    /// Changed files, relative to the project with `/`; `None` where it is not known.
    pub changed: Option<Vec<String>>,
    /// The line of `schedule` that was due.
    pub schedule: Option<String>,
    /// Name of the workflow that a `workflow_run` event is about.
    pub workflow: Option<String>,
    /// Inputs as given.
    pub inputs: BTreeMap<String, Value>,
    /// Whether a person started it: then no filter is asked.
    pub by_hand: bool,
}

impl EventFacts {
    /// Reads what a payload says. `changed` is relative to the project.
    pub fn from_payload(name: &str, payload: &Json, reference: &str, changed: Option<Vec<String>>) -> Self {
        let text = |pointer: &str| payload.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
        let queue = || {
            let base = text("/merge_group/base_ref")?;
            Some(base.strip_prefix("refs/heads/").unwrap_or(&base).to_owned())
        };
        let inputs = payload.get("inputs").and_then(Json::as_object).into_iter().flatten();
        Self {
            name: name.to_owned(),
            activity: text("/action"),
            reference: reference.to_owned(),
            base: text("/pull_request/base/ref").or_else(|| text("/workflow_run/head_branch")).or_else(queue),
            changed,
            schedule: text("/schedule"),
            workflow: text("/workflow_run/name"),
            inputs: inputs.map(|(key, value)| (key.clone(), Value::from(value))).collect(),
            by_hand: false,
        }
    }

    /// Returns the branch that branch filters look at.
    pub(super) fn branch(&self) -> Option<&str> {
        if let Some(base) = &self.base {
            return Some(base);
        }
        self.reference.strip_prefix("refs/heads/")
    }

    /// Returns the tag, if the event is about one.
    pub(super) fn tag(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/tags/")
    }
}
