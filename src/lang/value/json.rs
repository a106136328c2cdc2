//! To and from JSON.

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
            Json::Object(map) => Self::object(
                map.iter().map(|(k, v)| (Arc::from(k.as_str()), Self::from(v))).collect::<Object>(),
            ),
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
        let mut out = String::new();
        pretty(self, 0, &mut out);
        out
    }
}

fn pretty(value: &Value, depth: usize, out: &mut String) {
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number_text(*n)),
        Value::String(s) => out.push_str(&Json::String(s.to_string()).to_string()),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                newline(out, depth + 1);
                pretty(item, depth + 1, out);
            }
            newline(out, depth);
            out.push(']');
        }
        Value::Object(o) if o.is_empty() => out.push_str("{}"),
        Value::Object(o) => {
            out.push('{');
            for (i, (key, item)) in o.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                newline(out, depth + 1);
                out.push_str(&Json::String(key.to_string()).to_string());
                out.push_str(": ");
                pretty(item, depth + 1, out);
            }
            newline(out, depth);
            out.push('}');
        }
    }
}
