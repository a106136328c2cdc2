//! The `needs` context: what a job sees of the jobs it needs.

use super::consume::artifact_value;
use crate::job::{Conclusion, Receipt};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use tidegate_lang::value::{Object, Value};

/// One needed job, ended.
#[derive(Clone, Debug)]
pub struct NeedFacts<'a> {
    /// Its id in the workflow file.
    pub id: &'a str,
    /// Its result.
    pub result: Conclusion,
    /// Its instances in matrix order; none if it was skipped.
    pub instances: Vec<InstanceFacts<'a>>,
}

/// One instance of a needed job.
#[derive(Clone, Debug)]
pub struct InstanceFacts<'a> {
    /// Its matrix values; null without a matrix.
    pub matrix: &'a Json,
    /// Its own result, before `continue-on-error`.
    pub result: Conclusion,
    /// How its last attempt ended.
    pub receipt: Option<&'a Receipt>,
    /// Outputs of a called workflow; those of steps are in the receipt.
    pub outputs: &'a BTreeMap<String, String>,
}

/// Builds the `needs` context. `outputs` of several instances are merged in matrix order, the last
/// non-empty value wins, as at GitHub; `metrics` and `artifacts` are those of the only instance.
/// Artifacts of an instance that did not succeed are invisible.
pub fn needs_context(needs: &[NeedFacts<'_>]) -> Value {
    object(needs.iter().map(|need| (need.id, need_value(need))))
}

/// Builds the `jobs` context, from which a called workflow's outputs are made.
pub fn jobs_context(jobs: &[NeedFacts<'_>]) -> Value {
    object(jobs.iter().map(|job| {
        let fields = [("result", Value::from(word(job.result))), ("outputs", outputs_of(job))];
        (job.id, object(fields.into_iter()))
    }))
}

/// Returns the word of a result as expressions see it.
pub fn word(result: Conclusion) -> &'static str {
    match result {
        Conclusion::Success => "success",
        Conclusion::Failure => "failure",
        Conclusion::Cancelled => "cancelled",
        Conclusion::Skipped => "skipped",
    }
}

fn need_value(need: &NeedFacts<'_>) -> Value {
    let instances: Vec<Value> = need.instances.iter().map(instance_value).collect();
    let mut fields = Object::default();
    fields.insert("result", Value::from(word(need.result)));
    fields.insert("outputs", outputs_of(need));
    let only = if let [only] = instances.as_slice() { Some(only) } else { None };
    let of_only = |key: &str| only.map_or_else(|| Value::object(Object::default()), |one| one.property(key));
    fields.insert("metrics", of_only("metrics"));
    fields.insert("artifacts", of_only("artifacts"));
    fields.insert("goals", goals_of(need));
    fields.insert("instances", Value::array(instances));
    Value::object(fields)
}

/// Merges the outputs of all instances.
fn outputs_of(need: &NeedFacts<'_>) -> Value {
    let mut merged = Object::default();
    for instance in &need.instances {
        for (name, text) in outputs(instance) {
            if !text.is_empty() || merged.get(name).is_none() {
                merged.insert(name.as_str(), Value::from(text.as_str()));
            }
        }
    }
    Value::object(merged)
}

fn outputs<'a>(instance: &InstanceFacts<'a>) -> impl Iterator<Item = (&'a String, &'a String)> {
    instance.receipt.into_iter().flat_map(|receipt| receipt.outputs.iter()).chain(instance.outputs.iter())
}

/// `goals` of the job's metrics, so that `best` knows the direction.
fn goals_of(need: &NeedFacts<'_>) -> Value {
    let receipts = need.instances.iter().filter_map(|instance| instance.receipt);
    let goals = receipts.flat_map(|receipt| receipt.goals.iter());
    object(goals.map(|(name, goal)| (name.as_str(), Value::from(goal.as_str()))))
}

fn instance_value(instance: &InstanceFacts<'_>) -> Value {
    let mut fields = Object::default();
    fields.insert("matrix", Value::from(instance.matrix));
    fields.insert("result", Value::from(word(instance.result)));
    let outputs = outputs(instance).map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
    fields.insert("outputs", object(outputs));
    let metrics = instance.receipt.into_iter().flat_map(|receipt| receipt.metrics.iter());
    let metrics = metrics.map(|(name, value)| (name.as_str(), Value::from(value)));
    fields.insert("metrics", object(metrics));
    let kept = instance.receipt.filter(|_| instance.result == Conclusion::Success);
    let artifacts = kept.into_iter().flat_map(|receipt| receipt.artifacts.iter());
    let artifacts = artifacts.map(|(name, artifact)| (name.as_str(), artifact_value(artifact)));
    fields.insert("artifacts", object(artifacts));
    Value::object(fields)
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let mut made = Object::default();
    for (name, value) in entries {
        made.insert(name, value);
    }
    Value::object(made)
}
