//! Steps and `env` of a plan: expressions evaluated where possible, else as written.

use super::known::Known;
use super::model::{PlannedGate, PlannedStep};
use super::steps;
use tidegate_lang::workflow::{Action, Env, Gate, Job, JobKind, Step};

/// Outlines the steps of a job.
pub(super) fn outline(job: &Job, known: &Known<'_>) -> Vec<PlannedStep> {
    let JobKind::Steps(written) = &job.kind else {
        return Vec::new();
    };
    written.iter().zip(steps::ids(written)).map(|(step, id)| step_outline(step, id, known)).collect()
}

fn step_outline(step: &Step, id: String, known: &Known<'_>) -> PlannedStep {
    let mut made = PlannedStep {
        id,
        name: step.name.as_ref().map(|name| known.text(name)),
        kind: "run",
        text: String::new(),
        condition: step.condition.as_ref().map(|condition| condition.raw.trim().to_owned()),
        with: Vec::new(),
        env: env_lines(&step.env, known),
        gate: None,
    };
    match &step.action {
        Action::Run(run) => made.text = known.text(&run.script),
        Action::Uses(uses) => {
            made.kind = "uses";
            made.text.clone_from(&uses.uses.value);
            made.with =
                uses.with.iter().map(|(name, value)| (name.value.clone(), known.text(value))).collect();
        }
        Action::Gate(gate) => {
            made.kind = "gate";
            made.gate = Some(gate_outline(gate, known));
        }
        Action::Validate(validate) => {
            made.kind = "validate";
            made.text = known.text(&validate.data);
            made.with =
                validate.schema.iter().map(|schema| ("schema".to_owned(), known.text(schema))).collect();
        }
        Action::Notebook(notebook) => {
            made.kind = "notebook";
            made.text = known.text(&notebook.path);
        }
        Action::Register(_) => made.kind = "register",
        Action::Deploy(_) => made.kind = "deploy",
        Action::Coordinate(word) => {
            made.kind = "coordinate";
            made.text.clone_from(&word.value);
        }
    }
    made
}

fn gate_outline(gate: &Gate, known: &Known<'_>) -> PlannedGate {
    let bounds = gate.metrics.iter().flat_map(|(metric, bounds)| {
        bounds.iter().map(|bound| (metric.value.clone(), bound.kind.value, known.text(&bound.limit)))
    });
    PlannedGate {
        bounds: bounds.collect(),
        expect: gate.expect.iter().map(|condition| condition.raw.trim().to_owned()).collect(),
        baseline: gate.baseline.as_ref().map(|baseline| known.text(baseline)),
    }
}

/// Outlines an `env` mapping.
pub(super) fn env_lines(env: &Env, known: &Known<'_>) -> Vec<(String, String)> {
    let whole = env.expression.iter().map(|expression| ("env".to_owned(), known.text(expression)));
    env.variables.iter().map(|(name, value)| (name.value.clone(), known.text(value))).chain(whole).collect()
}
