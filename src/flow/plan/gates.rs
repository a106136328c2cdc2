//! Gates of a job that is taken from the cache: what they ask, on the metrics that were kept.
//!
//! Not here: fetching baselines (the engine's), judging (`gate`).

use super::known::Known;
use super::{Contexts, evaluate};
use crate::gate::Limit;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_lang::expr::{Status, Template};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Action, BoundKind, Dynamic, Gate, Job, JobKind, Step};

/// What one gate asks, evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptGate {
    /// Metric and bounds in file order.
    pub bounds: Vec<(String, Vec<(BoundKind, Limit)>)>,
    /// Text and answer of each expectation.
    pub expectations: Vec<(String, Result<bool, String>)>,
    /// What it compares with.
    pub baseline: Option<String>,
}

/// Evaluates the gates that decide over a job, in order, on kept metrics. A gate that reads what
/// only a run knows (`steps`, `env`, secrets, files) cannot be judged: the reason is the error.
pub fn kept_gates(
    job: &Job,
    contexts: &Contexts,
    metrics: &BTreeMap<String, Json>,
) -> Result<Vec<KeptGate>, String> {
    let JobKind::Steps(steps) = &job.kind else { return Ok(Vec::new()) };
    let metrics = Value::from(&Json::Object(metrics.clone().into_iter().collect()));
    let success = Status { success: true, failure: false, cancelled: false };
    let contexts = contexts.clone().with("metrics", metrics);
    let needs: BTreeSet<String> = job.needs.iter().map(|need| need.value.to_lowercase()).collect();
    let mut gates = Vec::new();
    for step in steps {
        let Action::Gate(gate) = &step.action else { continue };
        let known = Known { contexts: &contexts, needs: &needs };
        if let Some(open) = templates(step, gate).find(|template| !known.template(template)) {
            return Err(format!("its gate reads `{}`, which only a run knows", open.raw.trim()));
        }
        let judged = contexts.clone().with_status(success);
        let wanted = match &step.condition {
            Some(condition) => {
                condition.holds(&judged).map_err(|error| format!("its gate's `if`: {error}"))?
            }
            None => true,
        };
        let allowed = match step.continue_on_error.as_deref() {
            Some(given) => evaluate::boolean("continue-on-error", given, &contexts)?,
            None => false,
        };
        // One that was allowed to say no decided nothing.
        if wanted && !allowed {
            gates.push(kept(gate, &contexts)?);
        }
    }
    Ok(gates)
}

fn templates<'a>(step: &'a Step, gate: &'a Gate) -> impl Iterator<Item = &'a Template> {
    let allowed = match step.continue_on_error.as_deref() {
        Some(Dynamic::Expr(template)) => Some(template),
        _ => None,
    };
    let bounds = gate.metrics.iter().flat_map(|(_, bounds)| bounds.iter().map(|bound| &bound.limit));
    bounds.chain(&gate.expect).chain(&gate.baseline).chain(&step.condition).chain(allowed)
}

fn kept(gate: &Gate, contexts: &Contexts) -> Result<KeptGate, String> {
    let mut all = Vec::new();
    for (metric, bounds) in &gate.metrics {
        let mut limits = Vec::new();
        for bound in bounds {
            let text = evaluate::text("gate", &bound.limit, contexts)?;
            let limit =
                Limit::parse(&text).map_err(|error| format!("gate, metric {}: {error}", metric.value))?;
            limits.push((bound.kind.value, limit));
        }
        all.push((metric.value.clone(), limits));
    }
    let expectations = gate.expect.iter().map(|wanted| {
        let given = wanted.evaluate(contexts).map(|value| value.truthy());
        (super::steps::bare(&wanted.raw), given.map_err(|error| error.to_string()))
    });
    Ok(KeptGate {
        bounds: all,
        expectations: expectations.collect(),
        baseline: evaluate::optional("baseline", gate.baseline.as_ref(), contexts)?,
    })
}
