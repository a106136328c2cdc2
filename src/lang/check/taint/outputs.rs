//! Outputs: of scripts, of steps, of actions and of jobs.

use super::flow::{Body, Origin, Place, Target, Wanted, Way, templates};
use super::{script, strangers};
use crate::check::LocalAction;
use crate::check::access::expressions;
use crate::workflow::{Action, JobKind, Run, Step, Uses, local_path};

impl Body<'_> {
    /// Tells whether a script writes such text into a command file under a name, or any.
    pub(super) fn script_writes(
        &self,
        run: &Run,
        file: &str,
        wanted: Wanted<'_>,
        place: Place<'_>,
        left: u8,
    ) -> bool {
        let Some(left) = left.checked_sub(1) else { return false };
        let raw = &*run.script.raw;
        let written = script::written(raw, file);
        let mut all = written.iter().filter(|w| wanted.is(w.name)).peekable();
        if all.peek().is_none() {
            return false;
        }
        let copies: Vec<(&str, Vec<&str>)> = script::copies(raw).collect();
        all.any(|w| {
            w.variables.iter().any(|v| self.is_variable_of(v, raw, &copies, place, left))
                || expressions(&run.script).any(|(expr, inside)| {
                    w.values.iter().any(|at| at.contains(&(inside.at as usize))) && {
                        let mut found = Vec::new();
                        self.taints(expr, place, Way { whole: false, left }, &mut found);
                        !found.is_empty()
                    }
                })
        })
    }

    /// Tells whether a shell variable holds such text: given by `env`, by the runner, or a copy of
    /// one that is.
    fn is_variable_of(
        &self,
        variable: &str,
        script: &str,
        copies: &[(&str, Vec<&str>)],
        place: Place<'_>,
        left: u8,
    ) -> bool {
        if script::is_judged(script, variable) {
            return false;
        }
        if let Some(index) = copies.iter().rposition(|(name, _)| *name == variable) {
            let (earlier, from) = copies.split_at(index);
            return from.first().is_some_and(|(_, made_of)| {
                made_of.iter().any(|v| self.is_variable_of(v, script, earlier, place, left))
            });
        }
        (self.contexts && strangers::VARIABLES.contains(&variable)) || self.variable(variable, place, left)
    }

    pub(super) fn job_output(&self, id: &str, wanted: Wanted<'_>, left: u8) -> bool {
        let Origin::Workflow(workflow) = self.origin else { return false };
        let Some(job) = workflow.jobs.iter().find(|j| j.id.value.eq_ignore_ascii_case(id)) else {
            return false;
        };
        match &job.kind {
            JobKind::Steps(steps) => {
                let at = Place { job: Some(job), step: None, steps: steps.len() };
                let mut outputs = job.outputs.iter().filter(|(name, _)| wanted.is(&name.value));
                outputs.any(|(_, value)| self.carries(value, at, left))
            }
            JobKind::Call(call) => {
                let target = local_path(&call.uses.value).and_then(|path| self.called.get(path));
                let Some(target) = target else { return false };
                let at = Place { job: Some(job), step: None, steps: 0 };
                let tainted = call.with.iter().filter(|(_, tree)| {
                    let mut values = Vec::new();
                    templates(tree, &mut values);
                    values.into_iter().any(|value| self.carries(value, at, left))
                });
                let inputs = tainted.map(|(name, _)| name.value.to_ascii_lowercase()).collect();
                let target = Target::Workflow(target);
                let Some(inner) = self.inner(&target, inputs, self.contexts) else { return false };
                let Target::Workflow(workflow) = &target else { return false };
                let nowhere = Place { job: None, step: None, steps: 0 };
                let outputs = workflow.on.call.iter().flat_map(|call| &call.outputs);
                outputs
                    .filter(|(name, _)| wanted.is(&name.value))
                    .any(|(_, value)| inner.carries(value, nowhere, left.min(inner.left)))
            }
        }
    }

    pub(super) fn step_output(&self, id: &str, wanted: Wanted<'_>, place: Place<'_>, left: u8) -> bool {
        let named = |step: &Step| step.id.as_ref().is_some_and(|i| i.value.eq_ignore_ascii_case(id));
        let Some((index, step)) = self.earlier(place).find(|(_, step)| named(step)) else { return false };
        let at = Place { step: Some(step), steps: index, ..place };
        match &step.action {
            Action::Run(run) => self.script_writes(run, "GITHUB_OUTPUT", wanted, at, left),
            Action::Uses(uses) if uses.uses.value.starts_with("./") => {
                self.action_output(uses, wanted, at, left)
            }
            Action::Uses(uses) => {
                matches!(wanted, Wanted::One(name) if self.contexts && strangers::writes_output(&uses.uses.value, name))
            }
            _ => false,
        }
    }

    fn action_output(&self, uses: &Uses, wanted: Wanted<'_>, place: Place<'_>, left: u8) -> bool {
        let LocalAction::Found(action) = (self.context.actions)(&uses.uses.value) else { return false };
        let tainted = uses.with.iter().filter(|(_, value)| self.carries(value, place, left));
        let inputs = tainted.map(|(name, _)| name.value.to_ascii_lowercase()).collect();
        let target = Target::Action(action.clone());
        let Some(inner) = self.inner(&target, inputs, self.contexts) else { return false };
        let at = Place { job: None, step: None, steps: action.steps.len() };
        action
            .outputs
            .iter()
            .filter(|(name, _)| wanted.is(&name.value))
            .any(|(_, value)| inner.carries(value, at, left.min(inner.left)))
    }
}
