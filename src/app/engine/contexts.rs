//! The contexts that stay the same for a run: `github`, `inputs`, `vars`.

use super::RunRequest;
use serde_json::{Map, Value as Json, json};
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
    let payload = payload(request, inputs);
    let text = |pointer: &str| payload.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let given = text("/ref");
    let reference = if given.is_empty() { snapshot.facts.reference.clone() } else { full(&given) };
    let ref_type = if reference.starts_with("refs/tags/") { "tag" } else { "branch" };
    let ref_name = ["refs/heads/", "refs/tags/", "refs/pull/"]
        .iter()
        .find_map(|p| reference.strip_prefix(p))
        .unwrap_or(&reference)
        .to_owned();
    let actor = request.actor.clone().unwrap_or_else(|| snapshot.facts.actor.clone());
    let owner = snapshot.facts.repository.split_once('/').map_or("", |(owner, _)| owner).to_owned();
    // Numbers of GitHub's are text here, as in its context.
    json!({
        "event_name": request.event,
        "event": payload,
        "ref": reference,
        "ref_name": ref_name,
        "ref_type": ref_type,
        "ref_protected": false,
        "sha": snapshot.source.commit,
        "head_ref": text("/pull_request/head/ref"),
        "base_ref": text("/pull_request/base/ref"),
        "repository": snapshot.facts.repository,
        "repository_owner": owner,
        "actor": actor,
        "triggering_actor": actor,
        "workflow": name,
        "workflow_ref": format!("{}/{path}@{reference}", snapshot.facts.repository),
        "workflow_sha": snapshot.source.commit,
        "run_id": run,
        "run_number": "",
        "run_attempt": "1",
        "retention_days": "90",
        "server_url": "https://github.com",
        "api_url": "https://api.github.com",
        "graphql_url": "https://api.github.com/graphql",
        "secret_source": "None",
    })
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

/// `main` → `refs/heads/main`.
fn full(reference: &str) -> String {
    if reference.starts_with("refs/") { reference.to_owned() } else { format!("refs/heads/{reference}") }
}
