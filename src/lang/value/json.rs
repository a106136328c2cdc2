//! To and from JSON.

use super::number::shortest;
use super::{Object, Value, number_text};
use serde_json::Value as Json;
use std::sync::Arc;

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Number(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => Self::String(Arc::from(s.as_str())),
            Json::Array(items) => Self::array(items.iter().map(Self::from).collect()),
            Json::Object(map) => {
                // Of keys that differ only in case the first counts.
                let mut object = Object::default();
                for (key, item) in map {
                    if object.get(key).is_none() {
                        object.insert(key.as_str(), Self::from(item));
                    }
                }
                Self::object(object)
            }
        }
    }
}

impl From<&Value> for Json {
    /// NaN and infinities, which JSON has not, become text.
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => number_json(*n),
            Value::String(s) => Self::String(s.to_string()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(o) => Self::Object(o.iter().map(|(k, v)| (k.to_string(), Self::from(v))).collect()),
        }
    }
}

fn number_json(n: f64) -> Json {
    /// Integers beyond this are not exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "an integer within the exact range")]
        return Json::from(n as i64);
    }
    serde_json::Number::from_f64(n).map_or_else(|| Json::String(number_text(n)), Json::Number)
}

impl Value {
    /// Writes JSON as `toJSON()` does: indented by two spaces.
    pub fn to_pretty_json(&self) -> String {
        self.to_json_within(usize::MAX).unwrap_or_default()
    }

    /// Like [`Value::to_pretty_json`]; `None` once it would have more than `limit` bytes.
    pub fn to_json_within(&self, limit: usize) -> Option<String> {
        let mut out = String::new();
        pretty(self, 0, limit, &mut out).then_some(out)
    }
}

fn newline(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Writes one value; `false` once the text is too long.
fn pretty(value: &Value, depth: usize, limit: usize, out: &mut String) -> bool {
    match value {
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) if n.is_finite() => out.push_str(&shortest(*n)),
        Value::Null | Value::Number(_) => out.push_str("null"),
        Value::String(s) => out.push_str(&Json::from(&**s).to_string()),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                newline(out, depth + 1);
                if !pretty(item, depth + 1, limit, out) {
                    return false;
                }
            }
            newline(out, depth);
            out.push(']');
        }
        Value::Object(o) if o.is_empty() => out.push_str("{}"),
        Value::Object(o) => {
            for (i, (key, item)) in o.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                newline(out, depth + 1);
                out.push_str(&Json::from(&**key).to_string());
                out.push_str(": ");
                if !pretty(item, depth + 1, limit, out) {
                    return false;
                }
            }
            newline(out, depth);
            out.push('}');
        }
    }
    out.len() <= limit
}
