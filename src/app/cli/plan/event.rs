//! What happens, and what the contexts say of it.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_edge::git::Snapshot;
use tidegate_flow::trigger::EventFacts;
use tidegate_lang::value::Value;

/// An event as the arguments give it.
pub(super) struct Happening {
    /// GitHub's name.
    pub(super) event: String,
    pub(super) payload: Json,
    /// Whether a person starts it.
    pub(super) by_hand: bool,
    pub(super) inputs: BTreeMap<String, String>,
}

impl Happening {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.payload.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// `github.ref`: what the payload says, else what is checked out.
    fn reference(&self, snapshot: &Snapshot) -> String {
        if let Some(number) = self.payload.pointer("/pull_request/number").and_then(Json::as_u64) {
            return format!("refs/pull/{number}/merge");
        }
        match self.text("/ref") {
            Some(given) if given.starts_with("refs/") => given.to_owned(),
            Some(given) => format!("refs/heads/{given}"),
            None => snapshot.facts.reference.clone(),
        }
    }
}

/// Makes the facts that triggers are asked about.
pub(super) fn facts(happening: &Happening, snapshot: &Snapshot) -> EventFacts {
    let mut facts = EventFacts::from_payload(
        &happening.event,
        &happening.payload,
        &happening.reference(snapshot),
        changed(happening, snapshot),
    );
    facts.by_hand = happening.by_hand;
    for (name, value) in &happening.inputs {
        facts.inputs.insert(name.clone(), Value::from(value.as_str()));
    }
    if happening.event.starts_with("pull_request") && facts.base.is_none() {
        facts.base = Some(snapshot.facts.default_branch.clone()).filter(|branch| !branch.is_empty());
    }
    facts
}

/// Changed files relative to the project: those of the payload's commits, else those of the last
/// commit and the working copy; `None` outside a repository.
fn changed(happening: &Happening, snapshot: &Snapshot) -> Option<Vec<String>> {
    let commits = happening.payload.get("commits").and_then(Json::as_array);
    let files: Vec<String> = match commits {
        Some(commits) => {
            let lists =
                commits.iter().flat_map(|commit| ["added", "modified", "removed"].map(|key| commit.get(key)));
            let files = lists.flatten().filter_map(Json::as_array).flatten().filter_map(Json::as_str);
            files.map(str::to_owned).collect()
        }
        None if snapshot.facts.sha.is_empty() => return None,
        None => snapshot.facts.changed.iter().chain(&snapshot.dirty).cloned().collect(),
    };
    let folder = &snapshot.source.project;
    let mut relative: Vec<String> = files
        .into_iter()
        .filter_map(|file| {
            if folder.is_empty() {
                return Some(file);
            }
            file.strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        })
        .collect();
    relative.sort();
    relative.dedup();
    Some(relative)
}

/// Makes the `github` context; what only a run has (`run_id`, `run_number`) is left out, so that
/// its expressions are shown as written.
pub(super) fn github(happening: &Happening, snapshot: &Snapshot, name: &str, path: &str) -> Json {
    let reference = happening.reference(snapshot);
    let is_tag = reference.starts_with("refs/tags/");
    let short =
        ["refs/heads/", "refs/tags/", "refs/pull/"].iter().find_map(|prefix| reference.strip_prefix(prefix));
    let repository = &snapshot.facts.repository;
    let mut payload = happening.payload.clone();
    if let Some(map) = payload.as_object_mut().filter(|_| !happening.inputs.is_empty()) {
        map.insert("inputs".to_owned(), json!(happening.inputs));
    }
    json!({
        "event_name": happening.event,
        "event": payload,
        "ref": reference,
        "ref_name": short.unwrap_or(&reference),
        "ref_type": if is_tag { "tag" } else { "branch" },
        "ref_protected": false,
        "sha": snapshot.facts.sha,
        "head_ref": happening.text("/pull_request/head/ref").unwrap_or_default(),
        "base_ref": happening.text("/pull_request/base/ref").unwrap_or_default(),
        "repository": repository,
        "repository_owner": repository.split_once('/').map_or("", |(owner, _)| owner),
        "actor": snapshot.facts.actor,
        "triggering_actor": snapshot.facts.actor,
        "workflow": name,
        "workflow_ref": format!("{repository}/{path}@{reference}"),
        "workflow_sha": snapshot.facts.sha,
        "server_url": "https://github.com",
        "api_url": "https://api.github.com",
        "graphql_url": "https://api.github.com/graphql",
    })
}
