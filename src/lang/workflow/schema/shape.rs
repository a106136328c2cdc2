//! The shapes that keys share: text, numbers, flags, each also as an expression.

use serde_json::{Map, Value, json};

/// Returns a reference to one of [`definitions`].
pub(super) fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Returns a map with these keys and no other; each is name, text and shape.
pub(super) fn keys(required: &[&str], all: Vec<(&str, &str, Value)>) -> Value {
    let properties: Map<String, Value> =
        all.into_iter().map(|(name, text, shape)| (name.to_owned(), described(shape, text))).collect();
    let mut map = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    map
}

/// Returns a map from chosen names to one shape.
pub(super) fn named(shape: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": shape })
}

/// Returns a list of one shape.
pub(super) fn list(shape: &Value) -> Value {
    json!({ "type": "array", "items": shape })
}

/// Returns the choice between shapes.
pub(super) fn any(shapes: &[Value]) -> Value {
    json!({ "anyOf": shapes })
}

/// Returns a shape, an expression in its place, or one of them in it.
pub(super) fn or_expression(shape: Value) -> Value {
    any(&[shape, of("expression")])
}

/// Returns a shape that may also be left empty.
pub(super) fn or_nothing(shape: Value) -> Value {
    any(&[shape, json!({ "type": "null" })])
}

/// Returns one of some words.
pub(super) fn word(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// Returns a shape with a text of its own.
pub(super) fn described(mut shape: Value, text: &str) -> Value {
    if let Some(map) = shape.as_object_mut() {
        map.insert("description".to_owned(), json!(text));
    }
    shape
}

/// Returns a shape with the value that counts where the key is left out.
pub(super) fn default(mut shape: Value, value: &Value) -> Value {
    if let Some(map) = shape.as_object_mut() {
        map.insert("default".to_owned(), value.clone());
    }
    shape
}

/// Returns a shape with values that an editor may offer.
pub(super) fn examples(mut shape: Value, values: &[&str]) -> Value {
    if let Some(map) = shape.as_object_mut() {
        map.insert("examples".to_owned(), json!(values));
    }
    shape
}

/// Returns the shared shapes by name.
pub(super) fn definitions() -> Map<String, Value> {
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    let filled =
        any(&[json!({ "type": "string", "minLength": 1 }), json!({ "type": ["number", "boolean"] })]);
    let expression = json!({ "type": "string", "pattern": "\\$\\{\\{" });
    let duration = json!({
        "anyOf": [
            { "type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$" },
            { "type": "number", "minimum": 0 },
            { "$ref": "#/$defs/expression" },
        ],
    });
    let quantity = json!({
        "anyOf": [
            { "type": "string", "pattern": "^ *[+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?(Ki|Mi|Gi|Ti|Pi|n|u|m|k|M|G|T|P)? *$" },
            { "type": "number", "minimum": 0 },
            { "$ref": "#/$defs/expression" },
        ],
    });
    let limit = json!({
        "anyOf": [
            { "type": "number" },
            { "type": "string", "pattern": "^ *[-+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)? *%? *$" },
            { "$ref": "#/$defs/expression" },
        ],
    });
    [
        ("quantity", quantity),
        ("limit", limit),
        ("expression", expression),
        ("text", scalar),
        ("filled", filled.clone()),
        ("words", any(&[filled.clone(), list(&filled)])),
        ("flag", or_expression(json!({ "type": "boolean" }))),
        ("number", or_expression(json!({ "type": "number" }))),
        ("condition", json!({ "type": ["string", "number", "boolean", "null"] })),
        ("variables", or_expression(named(&of("text")))),
        ("duration", duration),
    ]
    .into_iter()
    .map(|(name, shape)| (name.to_owned(), shape))
    .collect()
}
