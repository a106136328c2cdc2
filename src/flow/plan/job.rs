//! What the engine evaluates once a job, when it is ready: `if` and `strategy`.

use super::matrix::{self, kind};
use super::reads::Reads;
use super::{Contexts, display, evaluate, reason};
use crate::job::Conclusion;
use crate::run::{InstanceDeclared, JobEvaluation};
use serde_json::Value as Json;
use std::sync::Arc;
use tidegate_lang::expr::{Host as _, Status};
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::{Dialect, Job, Strategy, Workflow};

/// Returns what the status functions say to a job. As at GitHub they look at all jobs above it,
/// not only at those it names: give the results of all jobs it needs, directly or through others.
pub fn job_status(ancestors: &[Conclusion], cancelled: bool) -> Status {
    Status {
        success: !cancelled && ancestors.iter().all(|result| *result == Conclusion::Success),
        failure: !cancelled && ancestors.contains(&Conclusion::Failure),
        cancelled,
    }
}

/// Evaluates `if` (with its implicit `success()`) and `strategy` of a job whose needs have ended.
/// `contexts` holds what GitHub makes legal there and the status ([`job_status`]).
pub fn evaluate_job(workflow: &Workflow, job: &Job, contexts: &Contexts) -> JobEvaluation {
    match condition(job, contexts) {
        Ok(None) => {}
        Ok(Some(reason)) => return JobEvaluation::Skipped { reason },
        Err(reason) => return JobEvaluation::Failed { reason },
    }
    match strategy(workflow, job, contexts) {
        Ok(expanded) => expanded,
        Err(reason) => JobEvaluation::Failed { reason },
    }
}

/// Returns why the job is skipped, if it is.
fn condition(job: &Job, contexts: &Contexts) -> Result<Option<String>, String> {
    let status = contexts.status().unwrap_or(Status { success: true, failure: false, cancelled: false });
    let asks = job.condition.as_ref().is_some_and(tidegate_lang::expr::Template::has_status_function);
    if !asks && !status.success {
        return Ok(Some(unmet(status, contexts)));
    }
    let Some(condition) = &job.condition else {
        return Ok(None);
    };
    let mut reads = Reads::default();
    reads.template(condition);
    if reads.reaches("models") {
        return Err(format!("`models`: {}", super::absent::NO_REGISTRY));
    }
    let holds = if condition.is_literal() {
        !condition.raw.trim().is_empty()
    } else {
        condition.evaluate(contexts).map_err(|error| format!("`if`: {error}"))?.truthy()
    };
    Ok((!holds).then(|| {
        if asks && !status.success && !status.failure {
            return format!("{}; {}", reason::why_false(condition, contexts), unmet(status, contexts));
        }
        reason::why_false(condition, contexts)
    }))
}

/// Says why `success()` is false: which of the needs did not succeed.
fn unmet(status: Status, contexts: &Contexts) -> String {
    if status.cancelled {
        return "the run was cancelled".to_owned();
    }
    let mut words = Vec::new();
    if let Some(Value::Object(needs)) = contexts.get("needs") {
        for (name, need) in needs.iter() {
            match evaluate::get(need, "result").map(Value::to_text).as_deref() {
                Some("failure") => words.push(format!("{name} failed")),
                Some("skipped") => words.push(format!("{name} was skipped")),
                Some("cancelled") => words.push(format!("{name} was cancelled")),
                _ => {}
            }
        }
    }
    if words.is_empty() { "a job further up did not succeed".to_owned() } else { words.join(", ") }
}

/// Evaluates `strategy` and names the instances.
pub(super) fn strategy(workflow: &Workflow, job: &Job, contexts: &Contexts) -> Result<JobEvaluation, String> {
    let Some(strategy) = &job.strategy else {
        return Ok(single(job, contexts, true, None));
    };
    let whole = match &strategy.expression {
        Some(expression) => Some(evaluate::value("strategy", expression, contexts)?),
        None => None,
    };
    let matrix = match &whole {
        Some(Value::Object(whole)) => whole.get("matrix").cloned(),
        Some(other) => return Err(format!("`strategy` must be a mapping, not {}", kind(other))),
        None => strategy
            .matrix
            .as_ref()
            .map(|tree| evaluate::tree("strategy.matrix", tree, contexts))
            .transpose()?,
    };
    let (fail_fast, max_parallel) = limits(strategy, whole.as_ref(), contexts)?;
    let limit = match workflow.dialect {
        Dialect::Github => matrix::GITHUB_LIMIT,
        Dialect::Tidegate => matrix::LIMIT,
    };
    let Some(matrix) = matrix else {
        return Ok(single(job, contexts, fail_fast, max_parallel));
    };
    let expanded = matrix::expand(&matrix, limit)?;
    if expanded.is_empty() {
        return Err("the matrix has no instances: `exclude` leaves none".to_owned());
    }
    let instances = declare(job, contexts, &expanded, fail_fast, max_parallel);
    Ok(JobEvaluation::Instances { instances, fail_fast, max_parallel })
}

/// Evaluates `fail-fast` and `max-parallel`.
fn limits(
    strategy: &Strategy,
    whole: Option<&Value>,
    contexts: &Contexts,
) -> Result<(bool, Option<u32>), String> {
    let key_fail = "strategy.fail-fast";
    let key_max = "strategy.max-parallel";
    if let Some(whole) = whole {
        let fail_fast = match evaluate::get(whole, "fail-fast") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(given)) => *given,
            Some(other) => {
                return Err(format!("`{key_fail}` must be true or false, not {}", evaluate::shown(other)));
            }
        };
        let max_parallel = match evaluate::get(whole, "max-parallel") {
            None | Some(Value::Null) => None,
            Some(Value::Number(given)) => {
                Some(evaluate::whole(key_max, &tidegate_lang::workflow::Dynamic::Fixed(*given), 1, contexts)?)
            }
            Some(other) => {
                return Err(format!("`{key_max}` must be a number, not {}", evaluate::shown(other)));
            }
        };
        return Ok((fail_fast, max_parallel));
    }
    let fail_fast =
        strategy.fail_fast.as_ref().map(|given| evaluate::boolean(key_fail, given, contexts)).transpose()?;
    let max_parallel = strategy
        .max_parallel
        .as_ref()
        .map(|given| evaluate::whole(key_max, &given.value, 1, contexts))
        .transpose()?;
    Ok((fail_fast.unwrap_or(true), max_parallel))
}

/// The one instance of a job without a matrix.
fn single(job: &Job, contexts: &Contexts, fail_fast: bool, max_parallel: Option<u32>) -> JobEvaluation {
    let instance = InstanceDeclared { display: display::instance(job, contexts, None), matrix: Json::Null };
    JobEvaluation::Instances { instances: vec![Arc::new(instance)], fail_fast, max_parallel }
}

/// Names every instance of a matrix.
fn declare(
    job: &Job,
    contexts: &Contexts,
    expanded: &[Arc<Object>],
    fail_fast: bool,
    max_parallel: Option<u32>,
) -> Vec<Arc<InstanceDeclared>> {
    let total = u32::try_from(expanded.len()).unwrap_or(u32::MAX);
    let mut own = contexts.clone();
    expanded
        .iter()
        .zip(0..)
        .map(|(combination, index)| {
            let matrix = Value::Object(combination.clone());
            let json = Json::from(&matrix);
            if display::reads_matrix(job) {
                own.set("matrix", matrix);
                own.set("strategy", strategy_value(fail_fast, max_parallel, index, total));
            }
            let display = display::instance(job, &own, Some(combination));
            Arc::new(InstanceDeclared { display, matrix: json })
        })
        .collect()
}

/// Returns the contexts of one instance: the job's with `matrix` and `strategy`.
pub fn instance_contexts(
    job: Contexts,
    matrix: &Json,
    (fail_fast, max_parallel): (bool, Option<u32>),
    (index, total): (u32, u32),
) -> Contexts {
    let mut own = job.without_status();
    own.set("matrix", Value::from(matrix));
    own.set("strategy", strategy_value(fail_fast, max_parallel, index, total));
    own
}

/// The `strategy` context.
fn strategy_value(fail_fast: bool, max_parallel: Option<u32>, index: u32, total: u32) -> Value {
    let mut strategy = Object::default();
    strategy.insert("fail-fast", Value::Bool(fail_fast));
    strategy.insert("job-index", Value::Number(f64::from(index)));
    strategy.insert("job-total", Value::Number(f64::from(total)));
    strategy.insert("max-parallel", Value::Number(f64::from(max_parallel.unwrap_or(total))));
    Value::object(strategy)
}
