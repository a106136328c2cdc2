//! The functions of the language.

use super::{EvalError, Host, Stage};
use crate::value::Value;
use std::fmt::Write;

/// How many arguments a function takes.
pub(super) struct Arity {
    pub least: usize,
    pub most: usize,
}

/// One function.
pub(super) struct Function {
    /// Lower case.
    pub name: &'static str,
    /// As people write it.
    pub spelling: &'static str,
    pub arity: Arity,
    /// Legal wherever expressions are; the others depend on the key.
    pub everywhere: bool,
}

const fn function(
    name: &'static str,
    spelling: &'static str,
    least: usize,
    most: usize,
    everywhere: bool,
) -> Function {
    Function { name, spelling, arity: Arity { least, most }, everywhere }
}

const FUNCTIONS: &[Function] = &[
    function("contains", "contains", 2, 2, true),
    function("startswith", "startsWith", 2, 2, true),
    function("endswith", "endsWith", 2, 2, true),
    function("format", "format", 1, 255, true),
    function("join", "join", 1, 2, true),
    function("tojson", "toJSON", 1, 1, true),
    function("fromjson", "fromJSON", 1, 1, true),
    function("case", "case", 3, usize::MAX, true),
    function("hashfiles", "hashFiles", 1, 255, false),
    function("success", "success", 0, usize::MAX, false),
    function("failure", "failure", 0, usize::MAX, false),
    function("always", "always", 0, 0, false),
    function("cancelled", "cancelled", 0, 0, false),
    function("best", "best", 2, 3, false),
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name.eq_ignore_ascii_case(name))
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|f| f.spelling)
}

/// The most bytes one evaluation may make.
const MAX_BYTES: usize = 10 * 1024 * 1024;

pub(super) fn error(message: impl Into<String>, offset: u32) -> EvalError {
    EvalError { stage: Stage::Evaluation, message: message.into(), offset }
}

/// Calls a function whose arguments are evaluated.
pub(super) fn call(
    name: &str,
    arguments: &[Value],
    host: &dyn Host,
    offset: u32,
) -> Result<Value, EvalError> {
    let argument = |i: usize| arguments.get(i).cloned().unwrap_or_default();
    let text = |i: usize| argument(i).to_text();
    let status = || host.status().ok_or_else(|| error(format!("`{name}` has no meaning here"), offset));
    let function = find(name).ok_or_else(|| error(format!("there is no function `{name}`"), offset))?;
    Ok(match function.name {
        "contains" => Value::Bool(contains(&argument(0), &argument(1))),
        "startswith" => Value::Bool(affix(&argument(0), &argument(1), |a, b| a.starts_with(b))),
        "endswith" => Value::Bool(affix(&argument(0), &argument(1), |a, b| a.ends_with(b))),
        "format" => Value::from(format(&text(0), arguments.get(1..).unwrap_or_default(), offset)?),
        "join" => join(&argument(0), arguments.get(1), offset)?,
        "tojson" => Value::from(
            argument(0)
                .to_json_within(MAX_BYTES)
                .ok_or_else(|| error("toJSON: the result has more than 10 MB", offset))?,
        ),
        "fromjson" => from_json(&text(0), offset)?,
        "hashfiles" => {
            let patterns: Vec<String> = arguments.iter().map(|a| a.to_text().to_string()).collect();
            Value::from(host.hash_files(&patterns).map_err(|e| error(e, offset))?)
        }
        "success" => Value::Bool(status()?.success),
        "failure" => Value::Bool(status()?.failure),
        "cancelled" => Value::Bool(status()?.cancelled),
        "always" => Value::Bool(true),
        "best" => best(arguments, offset)?,
        other => return Err(error(format!("`{other}` cannot be called like this"), offset)),
    })
}

fn contains(haystack: &Value, needle: &Value) -> bool {
    match haystack {
        Value::Array(items) => items.iter().any(|item| item.loosely_equals(needle)),
        Value::Object(_) => false,
        _ if !needle.is_primitive() => false,
        text => text.to_text().to_lowercase().contains(&needle.to_text().to_lowercase()),
    }
}

fn affix(text: &Value, part: &Value, test: impl Fn(&str, &str) -> bool) -> bool {
    text.is_primitive() && part.is_primitive() && test(&fold(&text.to_text()), &fold(&part.to_text()))
}

fn fold(text: &str) -> String {
    crate::value::folded(text).collect()
}

fn join(items: &Value, separator: Option<&Value>, offset: u32) -> Result<Value, EvalError> {
    let separator = separator.filter(|s| s.is_primitive()).map_or_else(|| ",".into(), Value::to_text);
    let items = match items {
        Value::Array(items) => items,
        Value::Object(_) => return Ok(Value::from("")),
        one => return Ok(Value::String(one.to_text())),
    };
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(&separator);
        }
        out.push_str(&item.to_text());
        if out.len() > MAX_BYTES {
            return Err(error("join: the result has more than 10 MB", offset));
        }
    }
    Ok(Value::from(out))
}

fn from_json(text: &str, offset: u32) -> Result<Value, EvalError> {
    Value::from_json_text(text).map_err(|e| error(format!("fromJSON: this is not JSON: {e}"), offset))
}

fn format(pattern: &str, arguments: &[Value], offset: u32) -> Result<String, EvalError> {
    let wrong = |what: String| error(format!("format: {what} in '{pattern}'"), offset);
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            out.push('}');
            rest = after;
        } else if let Some(after) = from.strip_prefix('{') {
            let (index, after) =
                after.split_once('}').ok_or_else(|| wrong("a `{` is not closed".to_owned()))?;
            // What follows the digits is not looked at, as in GitHub's own package.
            let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                return Err(wrong(format!("`{{{index}}}` is no number")));
            }
            let value = digits.parse().ok().and_then(|n: usize| arguments.get(n));
            let value = value.ok_or_else(|| wrong(format!("there is no argument {{{digits}}}")))?;
            let _ = write!(out, "{}", value.to_text());
            rest = after;
        } else {
            return Err(wrong("a `}` stands alone".to_owned()));
        }
        if out.len() > MAX_BYTES {
            return Err(wrong("more than 10 MB".to_owned()));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `best(needs.j, 'metric'[, 'min'])`: the instance with the best metric among those that
/// succeeded and whose metric is finite; ties go to matrix order.
fn best(arguments: &[Value], offset: u32) -> Result<Value, EvalError> {
    let job = arguments.first().cloned().unwrap_or_default();
    let metric = arguments.get(1).map(Value::to_text).unwrap_or_default();
    let goal = match arguments.get(2) {
        Some(word) => word.to_text(),
        None => job.property("goals").property(&metric).to_text(),
    };
    let least = match &*goal {
        "min" => true,
        "max" | "" => false,
        other => return Err(error(format!("best: `{other}` is neither min nor max"), offset)),
    };
    let Value::Array(instances) = job.property("instances") else {
        return Err(error("best: the first argument is a job of `needs`, such as `needs.train`", offset));
    };
    let mut found: Option<(f64, &Value)> = None;
    for instance in instances.iter() {
        let Value::Number(value) = instance.property("metrics").property(&metric) else { continue };
        if !value.is_finite() || &*instance.property("result").to_text() != "success" {
            continue;
        }
        let better = found.is_none_or(|(so_far, _)| if least { value < so_far } else { value > so_far });
        if better {
            found = Some((value, instance));
        }
    }
    found.map(|(_, instance)| instance.clone()).ok_or_else(|| {
        error(
            format!("best: none of {} instances succeeded with a finite metric `{metric}`", instances.len()),
            offset,
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::expr::{JsonContexts, Stage, evaluate_text};

    #[test]
    fn results_that_double_with_every_level_are_stopped() {
        let nobody = JsonContexts::new(&serde_json::json!({"list": vec![1; 5000]}));
        let nested = |open: &str, inner: &str| format!("{}{inner}{}", open.repeat(40), ")".repeat(40));
        for text in [
            nested("toJSON(", r#"'"'"#),
            format!("join(list, {})", nested("toJSON(", "join(list, '\"')")),
            format!("join(list, join(list, '{}'))", "x".repeat(1000)),
        ] {
            let error = evaluate_text(&text, &nobody).err();
            assert_eq!(error.map(|e| e.stage), Some(Stage::Evaluation), "{}", &text[..60]);
        }
    }
}
