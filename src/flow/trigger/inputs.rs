//! Inputs of `workflow_dispatch` and `workflow_call`: types, defaults, what is refused.

use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Input, InputKind};

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
