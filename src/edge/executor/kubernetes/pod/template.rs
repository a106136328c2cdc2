//! A team's own pod template: read as YAML first, then each scalar is rendered.
//!
//! A value can never break out into structure: what is rendered is one scalar already. Not here: how
//! it is merged (`merge`), what it may ask for (`policy`).

use super::finding::{Findings, finding};
use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value as Json};
use tidegate_lang::source::{Diagnostic, Node, NodeKind, Scalar, ScalarStyle, Sources, load};
use tidegate_lang::workflow::plain_value;

/// Steps that rendering one scalar may take.
const FUEL: u64 = 20_000;
/// Bytes that a rendered scalar may have.
const LONGEST: usize = 64 << 10;

/// A template as the project has it.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// Its path in the project.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A rendered template, with its places.
pub(super) struct Rendered {
    pub(super) sources: Sources,
    /// `metadata` and `spec` as written.
    pub(super) root: Node,
    /// The same with every scalar rendered.
    pub(super) value: Json,
}

/// Reads and renders a template. `context` holds `job step matrix gpu run`.
pub(super) fn render(template: Template<'_>, context: &Json) -> Result<Rendered, Findings> {
    let mut sources = Sources::default();
    let file = sources.add(template.path, template.text);
    let (root, mut wrong) = load(file, template.text);
    let Some(root) = root.filter(|_| wrong.is_empty()) else {
        return Err(Findings { sources, findings: wrong });
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let mut renderer = Renderer { environment, context: readable(context), wrong: Vec::new() };
    let value = renderer.node(&root);
    wrong.append(&mut renderer.wrong);
    if wrong.is_empty() {
        Ok(Rendered { sources, root, value })
    } else {
        Err(Findings { sources, findings: wrong })
    }
}

struct Renderer {
    environment: Environment<'static>,
    context: minijinja::Value,
    wrong: Vec<Diagnostic>,
}

impl Renderer {
    fn node(&mut self, node: &Node) -> Json {
        match &node.kind {
            NodeKind::Scalar(scalar) => match self.scalar(scalar) {
                Ok(value) => value,
                Err(message) => {
                    self.wrong.push(finding(node.span, message));
                    Json::Null
                }
            },
            NodeKind::Sequence(items) => Json::Array(items.iter().map(|item| self.node(item)).collect()),
            NodeKind::Mapping(entries) => {
                let mut made = Map::new();
                for entry in entries {
                    if is_dynamic(&entry.key) {
                        let wrong = finding(entry.key_span, "a key cannot be rendered, only a value");
                        self.wrong.push(wrong);
                    }
                    made.insert(entry.key.to_string(), self.node(&entry.value));
                }
                Json::Object(made)
            }
        }
    }

    /// A scalar that is one expression keeps the type of its value; any other is text.
    fn scalar(&self, scalar: &Scalar) -> Result<Json, String> {
        if !is_dynamic(&scalar.text) {
            let digits = scalar
                .text
                .strip_prefix('0')
                .filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
            if digits.is_some() && scalar.style == ScalarStyle::Plain {
                return Err(format!(
                    "{} is octal to some and decimal to others; write it decimal",
                    scalar.text
                ));
            }
            return Ok(Json::from(&plain_value(scalar)));
        }
        let trimmed = scalar.text.trim();
        let inner = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let inner = inner.map(|inner| inner.trim_start_matches('-').trim_end_matches('-').trim());
        if let Some(expression) =
            inner.and_then(|inner| self.environment.compile_expression_owned(inner.to_owned()).ok())
        {
            let value = expression.eval(&self.context).map_err(|e| words(&e))?;
            return typed(&value);
        }
        let text = self.environment.render_str(&scalar.text, &self.context).map_err(|e| words(&e))?;
        short(text)
    }
}

fn is_dynamic(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// The value of an expression, if it is a scalar.
fn typed(value: &minijinja::Value) -> Result<Json, String> {
    match value.kind() {
        ValueKind::Undefined => Err("what it names is not there".to_owned()),
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::Number => number(value).ok_or_else(|| format!("{value} is no number that fits")),
        ValueKind::String => short(value.to_string()),
        other => Err(format!("it gives a {other}, and a scalar can only become a scalar")),
    }
}

fn number(value: &minijinja::Value) -> Option<Json> {
    if let Ok(whole) = i64::try_from(value.clone()).as_ref()
        && !value.to_string().contains('.')
    {
        return Some(Json::from(*whole));
    }
    let number = f64::try_from(value.clone()).ok()?;
    serde_json::Number::from_f64(number).map(Json::Number)
}

/// JSON as the renderer reads it.
fn readable(value: &Json) -> minijinja::Value {
    match value {
        Json::Null => minijinja::Value::from(()),
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(readable).collect::<Vec<_>>().into(),
        Json::Object(map) => minijinja::Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), readable(v)))),
    }
}

fn short(text: String) -> Result<Json, String> {
    if text.len() > LONGEST {
        return Err(format!("it gives {} bytes; at most {LONGEST} are taken", text.len()));
    }
    Ok(Json::String(text))
}

/// The renderer's own words on one line.
fn words(error: &minijinja::Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{detail}", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(text: &str) -> Result<Json, Findings> {
        let context = json!({
            "job": {"name": "a: b\n- c: {{ x }}"},
            "matrix": {"lr": 0.1, "on": true, "n": 3, "deep": {"a": 1}},
            "gpu": {"count": 2},
        });
        render(Template { path: ".ml/t.yaml", text }, &context).map(|r| r.value)
    }

    #[test]
    fn a_scalar_that_is_one_expression_keeps_its_type() {
        let table = [
            ("{{ gpu.count }}", json!(2)),
            ("{{ gpu.count * 2 + 1 }}", json!(5)),
            ("{{- matrix.lr -}}", json!(0.1)),
            ("{{ matrix.on }}", json!(true)),
            ("{{ matrix.n > 2 }}", json!(true)),
            ("n{{ matrix.n }}", json!("n3")),
            ("{{ matrix.n }}{{ gpu.count }}", json!("32")),
            ("{{ matrix.n | string }}", json!("3")),
            ("{% if matrix.on %}yes{% else %}no{% endif %}", json!("yes")),
            ("{{ '}}' ~ '{{' }}", json!("}}{{")),
        ];
        for (text, value) in table {
            let text = format!("x: \"{text}\"\n");
            assert_eq!(rendered(&text).unwrap()["x"], value, "{text}");
        }
        assert_eq!(
            rendered("x: [1, true, ~, 'a', 1.50]\n").unwrap(),
            json!({"x": [1, true, null, "a", 1.5]})
        );
    }

    #[test]
    fn no_value_breaks_out_into_structure() {
        let value = rendered("x: '{{ job.name }}'\ny: \"{{ job.name }} z\"\n").unwrap();
        assert_eq!(value, json!({"x": "a: b\n- c: {{ x }}", "y": "a: b\n- c: {{ x }} z"}));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let table = [
            ("x: 1\ny: '{{ gpu.cuont }}'\n", "2:4", "not there"),
            ("x: 'a {{ gpu.cuont }}'\n", "1:4", "undefined"),
            ("x: '{{ nothing.at.all }}'\n", "1:4", "undefined"),
            ("x: '{{ matrix.deep }}'\n", "1:4", "a scalar can only become a scalar"),
            ("x: ['{{ [1, 2] }}']\n", "1:5", "sequence"),
            ("x: '{{ '\n", "1:4", "syntax error"),
            ("'{{ gpu.count }}': 1\n", "1:1", "a key cannot be rendered"),
            (
                "x: '{% for a in range(9000) %}{% for b in range(9000) %}x{% endfor %}{% endfor %}'\n",
                "1:4",
                "fuel",
            ),
            ("x: {a: 1\n", "", ""),
            ("x: 0644\n", "1:4", "octal"),
            ("x: '{% include \"/etc/passwd\" %}'\n", "1:4", ""),
        ];
        for (text, place, words) in table {
            let findings = rendered(text).unwrap_err();
            let said = findings.to_string();
            assert!(said.starts_with(&format!(".ml/t.yaml:{place}")), "{text}: {said}");
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
