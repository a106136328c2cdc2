//! The contexts that stay the same for a run: `github`, `inputs`, `vars`.

use super::RunRequest;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tidegate_edge::git::Snapshot;
use tidegate_flow::plan::Contexts;

/// Makes the contexts of a run. `run_number` is set when the store has given it.
pub(super) fn contexts(
    request: &RunRequest,
    snapshot: &Snapshot,
    name: &str,
    path: &str,
    run: &str,
    inputs: Json,
) -> BTreeMap<String, Json> {
    let mut vars: Map<String, Json> =
        request.project.settings.vars().into_iter().map(|(k, v)| (k, v.into())).collect();
    vars.extend(request.vars.iter().map(|(k, v)| (k.clone(), v.clone().into())));
    let mut contexts = BTreeMap::new();
    contexts.insert("github".to_owned(), github(request, snapshot, name, path, run, &inputs));
    contexts.insert("inputs".to_owned(), inputs);
    contexts.insert("vars".to_owned(), Json::Object(vars));
    contexts
}

/// The contexts as evaluation sees them, with the number that the store has given.
pub(super) fn numbered(stored: &BTreeMap<String, Json>, number: u64) -> Contexts {
    let mut stored = stored.clone();
    if let Some(github) = stored.get_mut("github").and_then(Json::as_object_mut) {
        github.insert("run_number".to_owned(), number.to_string().into());
    }
    Contexts::from_json(&stored)
}

fn github(
    request: &RunRequest,
    snapshot: &Snapshot,
    name: &str,
    path: &str,
    run: &str,
    inputs: &Json,
) -> Json {
    let sender = request.payload.pointer("/sender/login").and_then(Json::as_str);
    let actor = request.actor.as_deref().or(sender).unwrap_or(&snapshot.facts.actor);
    let mut github = request.happening().github(snapshot, payload(request, inputs), actor, name, path);
    if let Some(github) = github.as_object_mut() {
        // Numbers of GitHub's are text here, as in its context.
        for (key, value) in [
            ("run_id", run),
            ("run_number", ""),
            ("run_attempt", "1"),
            ("retention_days", "90"),
            ("secret_source", "None"),
        ] {
            github.insert(key.to_owned(), value.into());
        }
    }
    github
}

/// The payload with what GitHub adds for a run by hand.
fn payload(request: &RunRequest, inputs: &Json) -> Json {
    let mut payload = request.payload.clone();
    if request.event == "workflow_dispatch"
        && let Some(map) = payload.as_object_mut()
    {
        // GitHub's payload has every input as text; the `inputs` context keeps the types.
        let texts = inputs.as_object().into_iter().flatten().map(|(name, value)| {
            let text = tidegate_lang::value::Value::from(value).to_text();
            (name.clone(), Json::String(text.to_string()))
        });
        map.insert("inputs".to_owned(), Json::Object(texts.collect()));
    }
    payload
}
