//! `consumes`: what is laid into the work folder, as content.

use super::matrix::kind;
use super::{Contexts, evaluate};
use crate::job::{ArtifactRef, ConsumeSpec};
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::Job;

/// Evaluates every entry of `consumes`.
pub(super) fn evaluate(job: &Job, contexts: &Contexts) -> Result<Vec<ConsumeSpec>, String> {
    job.ml
        .consumes
        .iter()
        .map(|given| {
            let path = &given.path.value;
            let key = format!("consumes.{path}");
            let found = evaluate::value(&key, &given.from, contexts)?;
            let (items, list) = match &found {
                Value::Array(items) => {
                    (items.iter().map(|item| content(&key, item)).collect::<Result<Vec<_>, _>>()?, true)
                }
                one => (vec![content(&key, one)?], false),
            };
            Ok(ConsumeSpec { path: path.clone(), items, list, shared: given.shared })
        })
        .collect()
}

/// Reads content from a value: an artifact, a data source or a model has a digest.
fn content(key: &str, value: &Value) -> Result<ArtifactRef, String> {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => return Err(format!("`{key}`: there is no such artifact")),
        Value::String(text) if text.is_empty() => return Err(format!("`{key}`: there is no such artifact")),
        other => return Err(format!("`{key}` must be an artifact or a data source, not {}", kind(other))),
    };
    match fields
        .get("digest")
        .or_else(|| fields.get("artifact").and_then(|artifact| evaluate::get(artifact, "digest")))
    {
        Some(Value::String(digest)) if !digest.is_empty() => Ok(ArtifactRef {
            digest: digest.to_string(),
            size: whole(fields, "size"),
            files: whole(fields, "files"),
            tree: matches!(fields.get("tree"), Some(Value::Bool(true))),
            name: fields.get("name").map(|name| name.to_text().to_string()).unwrap_or_default(),
        }),
        _ => Err(format!("`{key}` must be an artifact or a data source, not a mapping without content")),
    }
}

fn whole(fields: &Object, key: &str) -> u64 {
    match fields.get(key) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes are whole and below 2^53"
        )]
        Some(Value::Number(number)) if *number >= 0.0 => *number as u64,
        _ => 0,
    }
}

/// Returns content as expressions see it.
pub fn artifact_value(artifact: &ArtifactRef) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "sizes beyond 2^53 bytes do not occur")]
    let number = |whole: u64| Value::Number(whole as f64);
    let mut fields = Object::default();
    fields.insert("digest", Value::from(artifact.digest.as_str()));
    fields.insert("size", number(artifact.size));
    fields.insert("files", number(artifact.files));
    fields.insert("tree", Value::Bool(artifact.tree));
    if !artifact.name.is_empty() {
        fields.insert("name", Value::from(artifact.name.as_str()));
    }
    Value::object(fields)
}
