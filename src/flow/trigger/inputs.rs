//! Inputs of `workflow_dispatch` and `workflow_call`: types, defaults, what is refused.

use super::EventFacts;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tidegate_lang::expr::closest;
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Dialect, Input, InputKind, Tree, TreeKind, Workflow};

/// Gives a value the type its input declares. Null becomes the type's empty value.
pub fn coerce(input: &Input, value: &Value) -> Result<Value, String> {
    let text = value.to_text();
    match input.kind {
        InputKind::Boolean => match value {
            Value::Null => Ok(Value::Bool(false)),
            Value::Bool(_) => Ok(value.clone()),
            _ if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            _ if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            _ => Err(format!("must be true or false, not '{text}'")),
        },
        InputKind::Number => match value {
            Value::Null => Ok(Value::Number(0.0)),
            Value::Number(_) => Ok(value.clone()),
            Value::String(_) if !text.trim().is_empty() && value.to_number().is_finite() => {
                Ok(Value::Number(value.to_number()))
            }
            _ => Err(format!("must be a number, not '{text}'")),
        },
        InputKind::Choice => {
            if matches!(value, Value::Null) {
                return Ok(input
                    .options
                    .first()
                    .map_or(Value::from(""), |first| Value::from(first.value.as_str())));
            }
            if input.options.iter().any(|option| option.value == *text) {
                return Ok(Value::String(text));
            }
            let options: Vec<&str> = input.options.iter().map(|option| option.value.as_str()).collect();
            Err(format!("must be one of {}, not '{text}'", options.join(", ")))
        }
        InputKind::String | InputKind::Environment => match value {
            Value::Array(_) | Value::Object(_) => Err("must be text".to_owned()),
            _ => Ok(Value::String(text)),
        },
    }
}

/// Makes the `inputs` context of an event: typed, with defaults. Events without inputs of their own
/// have none in the GitHub dialect and the dispatch defaults in Tidegate's. All problems at once.
pub fn resolve_inputs(workflow: &Workflow, facts: &EventFacts) -> Result<Json, Vec<String>> {
    let declared: &[Input] = match facts.name.as_str() {
        "workflow_call" => workflow.on.call.as_ref().map_or(&[], |call| &call.inputs),
        _ => &workflow.on.dispatch_inputs,
    };
    let takes_inputs = facts.by_hand || matches!(facts.name.as_str(), "workflow_dispatch" | "workflow_call");
    if !takes_inputs {
        return match workflow.dialect {
            Dialect::Github => Ok(Json::Object(Map::new())),
            Dialect::Tidegate => fill(declared, &BTreeMap::new(), false),
        };
    }
    fill(declared, &facts.inputs, true)
}

/// Takes what is given, then defaults.
fn fill(declared: &[Input], given: &BTreeMap<String, Value>, strict: bool) -> Result<Json, Vec<String>> {
    let mut problems = Vec::new();
    let mut made = Map::new();
    for name in given.keys() {
        if !declared.iter().any(|input| input.name.value.eq_ignore_ascii_case(name)) {
            let near = closest(name, declared.iter().map(|input| input.name.value.as_str()));
            problems.push(match near {
                Some(near) => format!("there is no input `{name}`; did you mean `{near}`?"),
                None if declared.is_empty() => {
                    format!("there is no input `{name}`: the workflow declares none")
                }
                None => {
                    let names: Vec<&str> = declared.iter().map(|input| input.name.value.as_str()).collect();
                    format!("there is no input `{name}`; there are {}", names.join(", "))
                }
            });
        }
    }
    for input in declared {
        let name = &input.name.value;
        let found = given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let default = input.default.as_ref().and_then(literal);
        let missing = found.is_none_or(|value| value.to_text().is_empty());
        if strict && input.required && missing && default.is_none() {
            problems.push(format!("the input `{name}` is required"));
            continue;
        }
        // Without a default a boolean is false, and a choice its first option, as GitHub's form has it.
        let unsaid = || match input.kind {
            InputKind::Boolean => Value::Bool(false),
            InputKind::Choice => input.options.first().map_or(Value::Null, |o| Value::from(o.value.as_str())),
            _ => Value::Null,
        };
        let value = found.or(default.as_ref()).cloned().unwrap_or_else(unsaid);
        match coerce(input, &value) {
            Ok(value) => {
                made.insert(name.clone(), Json::from(&value));
            }
            Err(problem) => problems.push(format!("the input `{name}` {problem}")),
        }
    }
    if problems.is_empty() { Ok(Json::Object(made)) } else { Err(problems) }
}

/// Returns a default as it is written: no context is there for an expression.
fn literal(tree: &Tree) -> Option<Value> {
    match &tree.kind {
        TreeKind::Literal(Value::Null) | TreeKind::Sequence(_) | TreeKind::Mapping(_) => None,
        TreeKind::Literal(value) => Some(value.clone()),
        TreeKind::Template(template) => Some(Value::String(template.raw.clone())),
    }
}
