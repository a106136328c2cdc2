//! Calls of reusable workflows: what the called one sees, and what comes back.

use super::{Contexts, evaluate};
use crate::trigger::coerce;
use std::collections::BTreeMap;
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::{Call, CallInterface, Workflow};

/// Makes the contexts that stay the same for all jobs of a called workflow: the caller's `github`,
/// `vars`, `data` and `models`, and its own typed `inputs`.
pub fn call_contexts(caller: &Contexts, call: &Call, called: &Workflow) -> Result<Contexts, String> {
    let none = CallInterface::default();
    let interface = called.on.call.as_ref().unwrap_or(&none);
    let mut given = Object::default();
    for (name, value) in &call.with {
        let key = format!("with.{}", name.value);
        if !interface.inputs.iter().any(|input| input.name.value.eq_ignore_ascii_case(&name.value)) {
            return Err(format!("`{key}`: the called workflow has no input `{}`", name.value));
        }
        given.insert(name.value.as_str(), evaluate::tree(&key, value, caller)?);
    }
    let mut made = Contexts::new();
    for (name, value) in
        caller.iter().filter(|(name, _)| matches!(*name, "github" | "vars" | "data" | "models"))
    {
        made.set(name, value.clone());
    }
    let mut inputs = Object::default();
    for input in &interface.inputs {
        let name = input.name.value.as_str();
        let value = match (given.get(name), &input.default) {
            (Some(value), _) => coerce(input, value).map_err(|reason| format!("`with.{name}`: {reason}"))?,
            (None, Some(default)) => {
                let value = evaluate::tree(&format!("inputs.{name}.default"), default, &made)?;
                coerce(input, &value).map_err(|reason| format!("default of input `{name}`: {reason}"))?
            }
            (None, None) if input.required => {
                return Err(format!("the called workflow needs the input `{name}`"));
            }
            (None, None) => {
                coerce(input, &Value::Null).map_err(|reason| format!("input `{name}`: {reason}"))?
            }
        };
        inputs.insert(name, value);
    }
    made.set("inputs", Value::object(inputs));
    Ok(made)
}

/// Returns the secrets that a called workflow sees, by name; values are never stored. `available`
/// are those of the caller.
pub fn call_secrets(
    caller: &Contexts,
    call: &Call,
    called: &Workflow,
    available: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    if call.inherit_secrets {
        return Ok(available.clone());
    }
    let mut secrets = Object::default();
    for (name, value) in available {
        secrets.insert(name.as_str(), Value::from(value.as_str()));
    }
    let own = caller.clone().with("secrets", Value::object(secrets));
    let mut given = BTreeMap::new();
    for (name, value) in &call.secrets {
        let text = evaluate::text(&format!("secrets.{}", name.value), value, &own)?;
        if !text.is_empty() {
            given.insert(name.value.clone(), text);
        }
    }
    if let Some((_, value)) = available.iter().find(|(name, _)| name.eq_ignore_ascii_case("github_token")) {
        given.entry("GITHUB_TOKEN".to_owned()).or_insert_with(|| value.clone());
    }
    for (name, required) in called.on.call.iter().flat_map(|interface| &interface.secrets) {
        if *required && !given.keys().any(|have| have.eq_ignore_ascii_case(&name.value)) {
            return Err(format!("the called workflow needs the secret `{}`", name.value));
        }
    }
    Ok(given)
}

/// Evaluates the outputs of a called workflow whose jobs have all ended. `jobs` is `jobs_context`.
pub fn call_outputs(
    called: &Workflow,
    contexts: &Contexts,
    jobs: Value,
) -> Result<BTreeMap<String, String>, String> {
    let own = contexts.clone().with("jobs", jobs);
    let mut outputs = BTreeMap::new();
    for (name, value) in called.on.call.iter().flat_map(|interface| &interface.outputs) {
        outputs.insert(name.value.clone(), evaluate::text(&format!("outputs.{}", name.value), value, &own)?);
    }
    Ok(outputs)
}
