//! Contexts whose keys are fixed by GitHub ("Contexts reference").

use super::types::{Kind, Type};
use std::sync::Arc;

const GITHUB: &[&str] = &[
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "action_status",
    "actor",
    "actor_id",
    "api_url",
    "artifact_cache_size_limit",
    "base_ref",
    "env",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "job_workflow_sha",
    "output",
    "path",
    "ref",
    "ref_name",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "repositoryurl",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "secret_source",
    "server_url",
    "sha",
    "state",
    "step_summary",
    "token",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

const RUNNER: &[&str] = &["name", "os", "arch", "temp", "tool_cache", "workspace", "debug", "environment"];

/// The type of `github`: fixed keys, and an event of any shape but for its `inputs`.
pub(super) fn github(inputs: Option<Type>) -> Type {
    let mut fields: Vec<(Arc<str>, Type)> = GITHUB.iter().map(|n| ((*n).into(), Type::String)).collect();
    let known = inputs.map(|inputs| ("inputs".into(), inputs)).into_iter().collect();
    fields.push(("event".into(), Type::open(Kind::Plain, known, Type::Any)));
    fields.push(("ref_protected".into(), Type::Bool));
    Type::closed(Kind::Fixed("github"), fields)
}

/// The type of `runner`.
pub(super) fn runner() -> Type {
    let fields = RUNNER.iter().map(|n| ((*n).into(), Type::String)).collect();
    Type::closed(Kind::Fixed("runner"), fields)
}

/// The type of `job`.
pub(super) fn job() -> Type {
    let text = |names: &[&str]| names.iter().map(|n| ((*n).into(), Type::String)).collect::<Vec<_>>();
    let mut of_container = text(&["id", "network"]);
    of_container.push(("ports".into(), Type::Any));
    let container = Type::closed(Kind::Fixed("job.container"), of_container);
    let mut fields = text(&[
        "status",
        "check_run_id",
        "workflow_ref",
        "workflow_sha",
        "workflow_repository",
        "workflow_file_path",
    ]);
    fields.push(("container".into(), container));
    fields.push(("services".into(), Type::Any));
    Type::closed(Kind::Fixed("job"), fields)
}

/// The type of `strategy`.
pub(super) fn strategy() -> Type {
    let fields = vec![
        ("fail-fast".into(), Type::Bool),
        ("job-index".into(), Type::Number),
        ("job-total".into(), Type::Number),
        ("max-parallel".into(), Type::Number),
    ];
    Type::closed(Kind::Fixed("strategy"), fields)
}
