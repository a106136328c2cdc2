//! Tidegate's own keys.

use super::shape::{any, default, examples, keys, list, named, of, or_expression, or_nothing, word};
use serde_json::{Map, Value, json};

/// The keys that jobs have in the `tidegate` dialect.
pub(super) fn job_keys() -> Vec<(&'static str, &'static str, Value)> {
    let queue = keys(
        &["name"],
        vec![
            ("name", "The queue.", of("filled")),
            ("priority", "A priority class of the cluster's queues.", of("filled")),
        ],
    );
    let spot = keys(&[], vec![("fallback", "`on-demand`, where none is free.", of("text"))]);
    vec![
        ("python", "The environment of Python processes, made once.", of("python")),
        ("resources", "What one instance needs.", of("resources")),
        ("pod-template", "A pod template of the team's own.", of("filled")),
        ("nodes", "Pods that train together.", of("number")),
        ("queue", "The cluster's queue.", any(&[of("filled"), queue])),
        ("spot", "Whether machines may be taken away.", any(&[of("flag"), spot])),
        ("retry", "Tries again after some failures.", of("retry")),
        ("checkpoint", "A folder kept across attempts.", of("checkpoint")),
        ("produces", "Artifacts by name.", named(&of("produce"))),
        ("consumes", "What lies in the work folder before the first step, by path.", named(&of("consume"))),
        ("metrics", "Files with the job's numbers.", of("metrics")),
        ("params", "Files with the job's parameters.", of("metrics")),
        ("cache", "Skips the job when the same was done before.", of("cache")),
    ]
}

/// Returns `on.data`.
pub(super) fn data_events() -> Value {
    named(&or_nothing(keys(
        &[],
        vec![
            ("every", "How often the source is looked at.", of("duration")),
            ("settle", "How long it must be quiet.", of("duration")),
        ],
    )))
}

/// Returns `on.model`.
pub(super) fn model_events() -> Value {
    named(&keys(&["alias"], vec![("alias", "The alias whose move starts a run.", of("filled"))]))
}

/// Adds the shapes of this section.
pub(super) fn define(shapes: &mut Map<String, Value>) {
    for (name, shape) in [
        ("data", named(&any(&[of("filled"), source()]))),
        ("python", python()),
        ("resources", resources()),
        ("retry", retry()),
        ("checkpoint", checkpoint()),
        ("produce", produce()),
        ("consume", consume()),
        ("metrics", metrics()),
        ("cache", cache()),
        ("gate", gate()),
        ("validate", validate()),
        ("notebook", notebook()),
        ("register", register()),
        ("deploy", deploy()),
    ] {
        shapes.insert(name.to_owned(), shape);
    }
}

fn source() -> Value {
    keys(
        &["uri"],
        vec![
            ("uri", "A folder, or an address of an object store.", of("filled")),
            ("include", "Globs of what counts.", of("words")),
            ("exclude", "Globs of what does not.", of("words")),
        ],
    )
}

fn python() -> Value {
    keys(
        &[],
        vec![
            ("version", "Such as \"3.11\".", of("filled")),
            ("requirements", "A requirements file of the project.", of("filled")),
            ("packages", "Requirement specifiers.", of("words")),
        ],
    )
}

fn resources() -> Value {
    let gpu = keys(
        &[],
        vec![
            ("count", "How many.", of("number")),
            ("vendor", "Whose.", of("filled")),
            ("product", "Which products will do.", of("words")),
            ("memory", "Bytes of each, such as `40Gi`.", of("filled")),
            ("mig", "A slice's profile.", of("filled")),
            ("resource", "The cluster's own name for it.", of("filled")),
        ],
    );
    keys(
        &[],
        vec![
            ("cpu", "Cores: `4` or `500m`.", of("quantity")),
            ("memory", "Bytes: `16Gi`.", examples(of("quantity"), &["16Gi"])),
            ("ephemeral-storage", "Bytes on the node's disk.", of("quantity")),
            ("shm", "Bytes of /dev/shm.", of("quantity")),
            ("gpu", "How many GPUs, or which.", any(&[of("number"), gpu])),
        ],
    )
}

fn retry() -> Value {
    let class = any(&[
        word(&["failure", "timeout", "oom", "preempted", "lost", "disk", "image", "unschedulable", "data"]),
        json!({ "type": "string", "pattern": "^exit:[0-9]+$" }),
        of("expression"),
    ]);
    let backoff = keys(
        &[],
        vec![
            ("initial", "Before the second attempt.", of("duration")),
            ("factor", "How much longer before each further one.", of("number")),
            ("max", "The longest.", of("duration")),
            ("jitter", "A share that is left to chance.", of("number")),
        ],
    );
    let oom = keys(
        &[],
        vec![
            ("memory-factor", "How much more memory each time.", of("number")),
            ("max-memory", "The most.", of("quantity")),
        ],
    );
    any(&[
        of("number"),
        keys(
            &[],
            vec![
                ("attempts", "How often in all.", of("number")),
                ("on", "The failure classes to try again after.", any(&[class.clone(), list(&class)])),
                ("infra", "How often after preempted and lost.", of("number")),
                ("backoff", "How long to wait before.", backoff),
                ("oom", "More memory after each `oom`.", oom),
            ],
        ),
    ])
}

fn checkpoint() -> Value {
    any(&[
        of("filled"),
        keys(
            &["path"],
            vec![
                ("path", "The folder.", of("filled")),
                ("every", "How often it is saved.", of("duration")),
                ("grace", "How long a killed job has to save.", of("duration")),
                ("volume", "A claim of the namespace that holds it.", of("filled")),
            ],
        ),
    ])
}

fn produce() -> Value {
    any(&[
        of("filled"),
        keys(
            &["path"],
            vec![
                ("path", "The file or folder.", of("filled")),
                ("if-missing", "`fail` when left out.", default(word(&["fail", "ignore"]), &json!("fail"))),
            ],
        ),
    ])
}

fn consume() -> Value {
    any(&[
        of("filled"),
        keys(
            &["from"],
            vec![
                ("from", "An artifact, data source or model.", of("filled")),
                ("mount", "`shared` gives one read-only tree.", word(&["copy", "shared"])),
            ],
        ),
    ])
}

fn metrics() -> Value {
    let goals = named(&word(&["max", "min"]));
    any(&[
        of("words"),
        keys(
            &[],
            vec![
                ("files", "JSON or JSON Lines in the work folder.", of("words")),
                ("goals", "Whether more or less is better, by metric.", goals),
            ],
        ),
    ])
}

fn cache() -> Value {
    any(&[
        of("flag"),
        keys(
            &[],
            vec![
                ("inputs", "Globs of the files that count.", of("words")),
                ("key", "Further text that counts.", of("filled")),
                ("version", "Change it to start anew.", of("filled")),
            ],
        ),
    ])
}

fn gate() -> Value {
    let limit = of("limit");
    let mut bounds = keys(
        &[],
        vec![
            ("min", "At least.", limit.clone()),
            ("max", "At most.", limit.clone()),
            ("equals", "Exactly.", limit.clone()),
            ("max-worse", "At most this much worse than the baseline.", limit.clone()),
            ("min-gain", "At least this much better than the baseline.", limit),
        ],
    );
    bounds["minProperties"] = json!(1);
    let mut gate = keys(
        &[],
        vec![
            ("metrics", "Bounds by metric.", named(&bounds)),
            ("expect", "Expressions that must be true.", any(&[of("text"), list(&of("text"))])),
            ("baseline", "`MODEL@ALIAS`, `branch:NAME` or a JSON file.", of("filled")),
        ],
    );
    gate["anyOf"] = json!([{ "required": ["metrics"] }, { "required": ["expect"] }]);
    gate
}

fn validate() -> Value {
    let mut shape = keys(
        &["data"],
        vec![
            ("data", "CSV, JSON Lines or Parquet.", of("filled")),
            ("schema", "A JSON Schema for one row.", or_nothing(of("filled"))),
            ("rows", "How many: a number, or `min` and `max`.", json!({})),
            ("unique", "Columns whose values do not repeat.", json!({})),
            ("nulls", "How many empty values a column may have.", json!({})),
            ("drift", "How far from a reference.", json!({})),
        ],
    );
    shape["minProperties"] = json!(2);
    shape
}

fn notebook() -> Value {
    any(&[
        of("filled"),
        keys(
            &["path"],
            vec![
                ("path", "The notebook.", of("filled")),
                ("params", "Parameters.", json!({})),
                ("kernel", "The kernel's name.", of("filled")),
                ("output", "Where the executed copy goes.", of("filled")),
            ],
        ),
    ])
}

fn register() -> Value {
    keys(
        &[],
        vec![
            ("model", "The model's name.", of("filled")),
            ("path", "The model's file or folder.", of("filled")),
            ("alias", "The alias that moves to this version.", of("filled")),
            ("metrics", "Metrics to keep with it.", json!({})),
            ("params", "Parameters to keep with it.", json!({})),
            ("tags", "Tags.", json!({})),
            ("description", "What it is.", of("text")),
        ],
    )
}

fn deploy() -> Value {
    keys(
        &[],
        vec![
            ("model", "`MODEL@ALIAS`.", of("filled")),
            ("target", "Where it serves.", or_expression(json!({ "type": "object" }))),
            ("canary", "How it takes over step by step.", or_expression(json!({ "type": "object" }))),
            ("promote", "The alias that moves at the end.", of("filled")),
        ],
    )
}
