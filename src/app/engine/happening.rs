//! What happens: an event as it was given, what filters want to know of it, and what the `github`
//! context says of it. `plan` and `run` ask here, so that they cannot differ.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_edge::git::{Snapshot, changed_since};
use tidegate_flow::trigger::EventFacts;
use tidegate_lang::value::Value;

/// An event as it was given.
#[derive(Clone, Copy, Debug)]
pub struct Happening<'a> {
    /// GitHub's name.
    pub event: &'a str,
    /// Its payload.
    pub payload: &'a Json,
    /// Whether a person starts it: then no filter is asked.
    pub by_hand: bool,
    /// Inputs as given.
    pub inputs: &'a BTreeMap<String, String>,
}

impl Happening<'_> {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.payload.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    fn is_pull_request(&self) -> bool {
        self.event.starts_with("pull_request")
    }

    /// Returns `github.ref`: what the payload says, else what is checked out.
    pub fn reference(&self, snapshot: &Snapshot) -> String {
        if let Some(number) = self.payload.pointer("/pull_request/number").and_then(Json::as_u64) {
            return format!("refs/pull/{number}/merge");
        }
        match self.text("/ref") {
            Some(given) if given.starts_with("refs/") => given.to_owned(),
            Some(given) => format!("refs/heads/{given}"),
            None => snapshot.facts.reference.clone(),
        }
    }

    /// The branch a pull request wants to go to.
    fn base(&self, snapshot: &Snapshot) -> Option<String> {
        let default = Some(&snapshot.facts.default_branch).filter(|branch| !branch.is_empty());
        self.is_pull_request()
            .then(|| self.text("/pull_request/base/ref").map(str::to_owned).or_else(|| default.cloned()))
            .flatten()
    }

    /// Returns what triggers are asked about; `root` is the project's folder.
    pub fn facts(&self, snapshot: &Snapshot, root: &Path) -> EventFacts {
        let mut facts = EventFacts::from_payload(
            self.event,
            self.payload,
            &self.reference(snapshot),
            self.changed(snapshot, root),
        );
        facts.by_hand = self.by_hand;
        for (name, value) in self.inputs {
            facts.inputs.insert(name.clone(), Value::from(value.as_str()));
        }
        facts.base = self.base(snapshot).or(facts.base);
        facts
    }

    /// Changed files relative to the project: those of the payload's commits; else what git says
    /// (against the base of a pull request, against `before` of a push, else of the last commit)
    /// and what is not committed yet. `None` where nobody knows.
    fn changed(&self, snapshot: &Snapshot, root: &Path) -> Option<Vec<String>> {
        if self.by_hand {
            return None;
        }
        let commits = self.payload.get("commits").and_then(Json::as_array);
        let files: Vec<String> = match commits {
            Some(commits) => {
                let lists = commits
                    .iter()
                    .flat_map(|commit| ["added", "modified", "removed"].map(|key| commit.get(key)));
                let files = lists.flatten().filter_map(Json::as_array).flatten().filter_map(Json::as_str);
                files.map(str::to_owned).collect()
            }
            None if snapshot.facts.sha.is_empty() => return None,
            None => {
                let base = self.base(snapshot);
                let from = self.text("/pull_request/base/sha").or(base.as_deref()).or(self.text("/before"));
                let since = from.and_then(|from| changed_since(root, from));
                let committed = since.unwrap_or_else(|| snapshot.facts.changed.clone());
                committed.into_iter().chain(snapshot.dirty.iter().cloned()).collect()
            }
        };
        let folder = &snapshot.source.project;
        let within = |file: String| {
            if folder.is_empty() {
                return Some(file);
            }
            file.strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        let mut relative: Vec<String> = files.into_iter().filter_map(within).collect();
        relative.sort();
        relative.dedup();
        Some(relative)
    }

    /// Returns the `github` context without what only a run has (`run_id`, `run_number` …), so that
    /// a plan shows those as written. `payload` is the event's with the inputs in it.
    pub fn github(&self, snapshot: &Snapshot, payload: Json, actor: &str, name: &str, path: &str) -> Json {
        let reference = self.reference(snapshot);
        let ref_type = if reference.starts_with("refs/tags/") { "tag" } else { "branch" };
        let short = ["refs/heads/", "refs/tags/", "refs/pull/"]
            .iter()
            .find_map(|prefix| reference.strip_prefix(prefix));
        // A payload of GitHub's names the repository, and has the ids that a working copy does not.
        let repository = self.text("/repository/full_name").unwrap_or(&snapshot.facts.repository);
        let id = |pointer: &str| match payload.pointer(pointer) {
            Some(Json::Number(id)) => id.to_string(),
            Some(Json::String(id)) => id.clone(),
            _ => String::new(),
        };
        let ids = ["/repository/id", "/repository/owner/id", "/sender/id"].map(id);
        json!({
            "event_name": self.event,
            "event": payload,
            "ref": reference,
            "ref_name": short.unwrap_or(&reference),
            "ref_type": ref_type,
            "ref_protected": false,
            "sha": snapshot.source.commit,
            "head_ref": self.text("/pull_request/head/ref").unwrap_or_default(),
            "base_ref": self.text("/pull_request/base/ref").unwrap_or_default(),
            "repository": repository,
            "repository_owner": repository.split_once('/').map_or("", |(owner, _)| owner),
            "repository_id": ids[0],
            "repository_owner_id": ids[1],
            "actor": actor,
            "actor_id": ids[2],
            "triggering_actor": actor,
            "workflow": name,
            "workflow_ref": format!("{repository}/{path}@{reference}"),
            "workflow_sha": snapshot.source.commit,
            "server_url": "https://github.com",
            "api_url": "https://api.github.com",
            "graphql_url": "https://api.github.com/graphql",
        })
    }
}
