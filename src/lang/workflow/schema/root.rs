//! The top of a file, `on`, `defaults`, `concurrency`, `permissions`.

use super::shape::{any, default, definitions, described, examples, keys, list, named, of, or_nothing, word};
use super::{job, ml, step};
use crate::workflow::events::EVENTS;
use crate::workflow::grants::SCOPES;
use serde_json::{Map, Value, json};

/// Returns the JSON Schema (draft 2020-12) of workflow files in both dialects.
pub fn schema() -> Value {
    let mut shapes = definitions();
    shapes.insert("on".to_owned(), on());
    shapes.insert("permissions".to_owned(), permissions());
    shapes.insert("concurrency".to_owned(), concurrency());
    job::define(&mut shapes);
    step::define(&mut shapes);
    ml::define(&mut shapes);
    let mut root = keys(
        &["on", "jobs"],
        vec![
            ("name", "The workflow's name, as lists and reports show it.", of("text")),
            ("description", "What the workflow is for.", of("text")),
            ("run-name", "The name of one run; may use `github`, `inputs` and `vars`.", of("text")),
            ("on", "The events that start the workflow.", of("on")),
            ("env", "Variables for all steps of all jobs.", of("variables")),
            ("defaults", "Settings for all jobs.", of("defaults")),
            ("concurrency", "Runs of one group do not run at once.", of("concurrency")),
            ("permissions", "What the run's token may do at the forge.", of("permissions")),
            ("data", "Data sources by name; each run pins what it lists.", of("data")),
            (
                "jobs",
                "The jobs by id.",
                json!({
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,98}$" },
                    "additionalProperties": of("job"),
                }),
            ),
        ],
    );
    if let Some(map) = root.as_object_mut() {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".to_owned(), json!("Tidegate workflow"));
        map.insert("$defs".to_owned(), Value::Object(shapes));
    }
    root
}

fn on() -> Value {
    let names: Vec<&str> = EVENTS.iter().map(|e| e.name).collect();
    let mut events = Map::new();
    for event in EVENTS {
        let filters = event
            .keys
            .iter()
            .map(|key| {
                let types = *key == "types" && !event.types.is_empty();
                let shape =
                    if types { any(&[word(event.types), list(&word(event.types))]) } else { of("words") };
                (*key, filter_text(key), shape)
            })
            .collect();
        events.insert(
            event.name.to_owned(),
            described(or_nothing(keys(&[], filters)), &event_text(event.name)),
        );
    }
    let cron = keys(
        &["cron"],
        vec![
            (
                "cron",
                "Minute, hour, day, month, weekday.",
                examples(of("filled"), &["0 3 * * *", "30 4 * * 1", "*/15 * * * *"]),
            ),
            (
                "timezone",
                "An IANA time zone; UTC when left out.",
                default(examples(of("filled"), &["Europe/Paris"]), &json!("UTC")),
            ),
        ],
    );
    for (name, shape) in [
        ("schedule", list(&cron)),
        ("workflow_dispatch", or_nothing(dispatch())),
        ("workflow_call", or_nothing(call())),
        ("data", ml::data_events()),
        ("model", ml::model_events()),
    ] {
        events.insert(name.to_owned(), described(shape, &event_text(name)));
    }
    any(&[
        word(&names),
        json!({ "type": "array", "items": word(&names), "minItems": 1 }),
        json!({ "type": "object", "additionalProperties": false, "properties": events }),
    ])
}

fn event_text(name: &str) -> String {
    let text = match name {
        "push" => "Commits or tags were pushed.",
        "pull_request" => {
            "Something happened to a pull request; opened, synchronized or reopened where `types` is left out."
        }
        "pull_request_target" => "Like `pull_request`, with the workflow file of the base branch.",
        "schedule" => "It is time.",
        "workflow_dispatch" => "Somebody starts it by hand.",
        "workflow_call" => "Another workflow calls it.",
        "workflow_run" => "Another workflow's run was requested or has ended.",
        "repository_dispatch" => "A program asks for it over the forge's API.",
        "data" => "A data source has changed.",
        "model" => "An alias of a registered model has moved.",
        _ => return format!("GitHub's event `{name}`."),
    };
    text.to_owned()
}

fn filter_text(key: &str) -> &'static str {
    match key {
        "types" => "The activities of this event that count.",
        "branches" | "branches-ignore" => "Patterns of branch names.",
        "tags" | "tags-ignore" => "Patterns of tag names.",
        "paths" | "paths-ignore" => "Patterns of changed files, from the project's folder.",
        "workflows" => "Names of workflows.",
        _ => "Patterns.",
    }
}

fn dispatch() -> Value {
    let input = or_nothing(keys(
        &[],
        vec![
            ("description", "What the input is for.", of("text")),
            (
                "type",
                "Text, when left out.",
                default(word(&["string", "number", "boolean", "choice", "environment"]), &json!("string")),
            ),
            (
                "required",
                "Whether a run needs a value.",
                default(json!({ "type": "boolean" }), &json!(false)),
            ),
            ("default", "The value where none is given.", of("text")),
            ("options", "What a choice may be.", list(&of("text"))),
        ],
    ));
    json!({
        "type": "object",
        "properties": { "inputs": described(or_nothing(named(&input)), "What a person gives, by name.") },
    })
}

fn call() -> Value {
    let input = keys(
        &["type"],
        vec![
            ("description", "What the input is for.", of("text")),
            ("type", "The type of values.", word(&["string", "number", "boolean"])),
            (
                "required",
                "Whether a call needs to give it.",
                default(json!({ "type": "boolean" }), &json!(false)),
            ),
            ("default", "The value where a call gives none.", of("text")),
        ],
    );
    let secret = or_nothing(keys(
        &[],
        vec![
            ("description", "What the secret is for.", of("text")),
            (
                "required",
                "Whether a call needs to give it.",
                default(json!({ "type": "boolean" }), &json!(false)),
            ),
        ],
    ));
    let output = keys(
        &["value"],
        vec![
            ("description", "What the output is.", of("text")),
            ("value", "An expression over `jobs`.", of("text")),
        ],
    );
    keys(
        &[],
        vec![
            ("inputs", "What a call gives under `with`.", or_nothing(named(&input))),
            ("secrets", "What a call gives under `secrets`.", or_nothing(named(&secret))),
            ("outputs", "What a call gets back.", or_nothing(named(&output))),
        ],
    )
}

fn permissions() -> Value {
    let level = word(&["read", "write", "none"]);
    let text = |scope: &str| format!("What the run's token may do with {}.", scope.replace('-', " "));
    let scopes: Map<String, Value> =
        SCOPES.iter().map(|s| ((*s).to_owned(), described(level.clone(), &text(s)))).collect();
    any(&[
        word(&["read-all", "write-all"]),
        json!({ "type": "object", "additionalProperties": false, "properties": scopes }),
    ])
}

fn concurrency() -> Value {
    any(&[
        of("filled"),
        keys(
            &["group"],
            vec![
                ("group", "The group's name.", of("filled")),
                (
                    "cancel-in-progress",
                    "Whether a new run ends the one that runs.",
                    default(of("flag"), &json!(false)),
                ),
                ("queue", "How many may wait.", word(&["single", "max"])),
            ],
        ),
    ])
}
