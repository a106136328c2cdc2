//! One line of `tidegate eval --format json`: an expression and its contexts in, a value or an
//! error out.

use super::{EvalError, Host, Names, Status, evaluate, parser::parse_with};
use crate::value::{Object, Value};
use serde_json::{Value as Json, json};

/// Contexts given as JSON; they are the only names that exist.
pub struct JsonContexts {
    contexts: Object,
}

impl JsonContexts {
    /// Takes the members of a JSON object as contexts.
    pub fn new(contexts: &Json) -> Self {
        match Value::from(contexts) {
            Value::Object(contexts) => Self { contexts: contexts.as_ref().clone() },
            _ => Self { contexts: Object::default() },
        }
    }
}

impl Host for JsonContexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn hash_files(&self, _: &[String]) -> Result<String, String> {
        Err("hashFiles needs a work folder, and there is none here".to_owned())
    }

    fn status(&self) -> Option<Status> {
        None
    }
}

impl Names for JsonContexts {
    fn has_context(&self, name: &str) -> bool {
        self.contexts.get(name).is_some()
    }

    fn has_function(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("best")
    }

    fn contexts(&self) -> Vec<String> {
        self.contexts.iter().map(|(k, _)| k.to_string()).collect()
    }
}

/// Evaluates an expression whose only contexts are the given ones; nothing gives null.
pub fn evaluate_text(expr: &str, contexts: &JsonContexts) -> Result<Value, EvalError> {
    if expr.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Ok(Value::Null);
    }
    evaluate(&parse_with(expr, contexts)?, contexts)
}

/// Answers one `{"expr": …, "contexts": {…}}` with `{"kind", "value"}` or
/// `{"error": {"kind", "message", "offset"}}`.
pub fn answer(line: &str) -> Json {
    let request: Json = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(e) => return json!({ "error": { "kind": "request", "message": format!("not JSON: {e}") } }),
    };
    let Some(expr) = request.get("expr").and_then(Json::as_str) else {
        return json!({ "error": { "kind": "request", "message": "`expr` is missing" } });
    };
    let contexts = JsonContexts::new(request.get("contexts").unwrap_or(&Json::Null));
    match evaluate_text(expr, &contexts) {
        Ok(value) => json!({ "kind": value.kind(), "value": Json::from(&value) }),
        Err(e) => json!({ "error": { "kind": e.stage.word(), "message": e.message, "offset": e.offset } }),
    }
}
