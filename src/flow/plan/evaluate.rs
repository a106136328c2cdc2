//! Keys of the file and their values: templates, typed values and trees, with words for what does
//! not fit.

use super::Contexts;
use super::matrix::kind;
use tidegate_lang::expr::{Part, Template};
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::{Dynamic, Tree, TreeKind};

/// Evaluates a template; `key` names it in the message.
pub(super) fn value(key: &str, template: &Template, contexts: &Contexts) -> Result<Value, String> {
    if template.is_literal() {
        return Ok(Value::String(template.raw.clone()));
    }
    template.evaluate(contexts).map_err(|error| format!("`{key}`: {error}"))
}

/// Evaluates a template to text.
pub(super) fn text(key: &str, template: &Template, contexts: &Contexts) -> Result<String, String> {
    match value(key, template, contexts)? {
        found @ (Value::Array(_) | Value::Object(_)) => {
            Err(format!("`{key}` must be text, not {}", kind(&found)))
        }
        found => Ok(found.to_text().to_string()),
    }
}

/// Evaluates an optional template to text; empty text counts as absent.
pub(super) fn optional(
    key: &str,
    template: Option<&Template>,
    contexts: &Contexts,
) -> Result<Option<String>, String> {
    match template {
        None => Ok(None),
        Some(template) => Ok(Some(text(key, template, contexts)?).filter(|text| !text.is_empty())),
    }
}

/// Evaluates a boolean.
pub(super) fn boolean(key: &str, given: &Dynamic<bool>, contexts: &Contexts) -> Result<bool, String> {
    let template = match given {
        Dynamic::Fixed(fixed) => return Ok(*fixed),
        Dynamic::Expr(template) => template,
    };
    match value(key, template, contexts)? {
        Value::Bool(found) => Ok(found),
        Value::String(found) if found.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(found) if found.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null => Ok(false),
        found => Err(format!("`{key}` must be true or false, not {}", shown(&found))),
    }
}

/// Evaluates a finite number.
pub(super) fn number(key: &str, given: &Dynamic<f64>, contexts: &Contexts) -> Result<f64, String> {
    let template = match given {
        Dynamic::Fixed(fixed) => return Ok(*fixed),
        Dynamic::Expr(template) => template,
    };
    let found = value(key, template, contexts)?;
    let number = match &found {
        Value::Number(number) => *number,
        Value::String(text) if !text.trim().is_empty() => found.to_number(),
        _ => f64::NAN,
    };
    if number.is_finite() {
        Ok(number)
    } else {
        Err(format!("`{key}` must be a number, not {}", shown(&found)))
    }
}

/// Evaluates a whole number in a range.
pub(super) fn whole(key: &str, given: &Dynamic<f64>, least: u32, contexts: &Contexts) -> Result<u32, String> {
    let found = number(key, given, contexts)?;
    if found.fract() != 0.0 || found < f64::from(least) || found > f64::from(u32::MAX) {
        return Err(format!("`{key}` must be a whole number of at least {least}, not {found}"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Ok(found as u32)
}

/// Evaluates a tree. A list item that is an expression and gives a list is spliced in; a key
/// `${{ insert }}` takes in the mapping below it.
pub(super) fn tree(key: &str, given: &Tree, contexts: &Contexts) -> Result<Value, String> {
    match &given.kind {
        TreeKind::Literal(value) => Ok(value.clone()),
        TreeKind::Template(template) => value(key, template, contexts),
        TreeKind::Sequence(items) => {
            let mut made = Vec::with_capacity(items.len());
            for item in items {
                let found = tree(key, item, contexts)?;
                match (&item.kind, found) {
                    (TreeKind::Template(_), Value::Array(inner)) => made.extend(inner.iter().cloned()),
                    (_, found) => made.push(found),
                }
            }
            Ok(Value::array(made))
        }
        TreeKind::Mapping(entries) => {
            let mut made = Object::default();
            for (name, item) in entries {
                let found = tree(key, item, contexts)?;
                if is_insert(&name.value) {
                    let Value::Object(inner) = &found else {
                        return Err(format!(
                            "`{key}`: what `insert` takes in must be a mapping, not {}",
                            kind(&found)
                        ));
                    };
                    for (name, value) in inner.iter() {
                        made.insert(name.clone(), value.clone());
                    }
                } else {
                    made.insert(text(key, &name.value, contexts)?, found);
                }
            }
            Ok(Value::object(made))
        }
    }
}

/// Tells whether a key is `${{ insert }}`.
fn is_insert(template: &Template) -> bool {
    let [Part::Expr(_, _)] = &*template.parts else {
        return false;
    };
    let inner = template.raw.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim().eq_ignore_ascii_case("insert"))
}

/// Shows a value in a message.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_text().to_string(),
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
    }
}

/// Returns the value of a key where there is a mapping that has it.
pub(super) fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key),
        _ => None,
    }
}
