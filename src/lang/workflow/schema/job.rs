//! `jobs` and what stands in one.

use super::shape::{any, default, described, keys, list, named, of, or_expression, or_nothing};
use serde_json::{Map, Value, json};

/// Adds the shapes of this section.
pub(super) fn define(shapes: &mut Map<String, Value>) {
    shapes.insert("job".to_owned(), job());
    shapes.insert("defaults".to_owned(), defaults());
    shapes.insert("container".to_owned(), any(&[of("text"), container(&[])]));
    let service = [
        ("entrypoint", "Replaces the image's entry point.", of("text")),
        ("command", "Replaces the image's command.", of("text")),
    ];
    shapes.insert("service".to_owned(), any(&[of("text"), container(&service)]));
    shapes.insert("strategy".to_owned(), strategy());
}

fn job() -> Value {
    let mut all = vec![
        ("name", "The name that people see.", of("text")),
        ("needs", "Jobs that must succeed before.", of("words")),
        ("if", "Runs the job when this is true; `success()` when left out.", of("condition")),
        ("permissions", "What the job's token may do at the forge.", of("permissions")),
        ("concurrency", "Jobs of one group do not run at once.", of("concurrency")),
        ("strategy", "Instances of the job.", of("strategy")),
        ("uses", "The workflow to call: `./.github/workflows/file.yml`.", of("filled")),
        ("with", "Inputs of the called workflow.", or_nothing(or_expression(named(&of("text"))))),
        (
            "secrets",
            "Secrets of the called workflow, or `inherit`.",
            or_nothing(any(&[json!({ "const": "inherit" }), of("variables")])),
        ),
        ("runs-on", "The pool of machines.", runs_on()),
        ("timeout-minutes", "How long the job may take.", of("number")),
        ("cancel-timeout-minutes", "How long a cancelled job may take to end.", of("number")),
        ("continue-on-error", "The run goes on when this job fails.", of("flag")),
        ("container", "The image that steps run in.", of("container")),
        ("services", "Containers beside the job, by name.", or_expression(named(&of("service")))),
        ("env", "Variables for all steps of the job.", of("variables")),
        ("environment", "The environment that the job deploys to.", environment()),
        ("outputs", "Values for the jobs that need this one.", or_expression(named(&of("text")))),
        ("defaults", "Settings for the job's steps.", of("defaults")),
        ("steps", "What the job does, in order.", list(&of("step"))),
        ("snapshot", "Makes an image of GitHub's runner.", snapshot()),
    ];
    all.extend(super::ml::job_keys());
    let mut job = keys(&[], all);
    job["anyOf"] = json!([{ "required": ["steps"] }, { "required": ["uses"] }, { "required": ["runs-on"] }]);
    job
}

fn runs_on() -> Value {
    any(&[
        of("words"),
        keys(
            &[],
            vec![
                ("group", "A group of runners.", of("filled")),
                ("labels", "Labels that a runner must have.", of("words")),
            ],
        ),
    ])
}

fn strategy() -> Value {
    let combination = or_expression(json!({ "type": "object" }));
    let combinations = or_expression(list(&combination));
    let vector = or_expression(json!({ "type": "array", "minItems": 1 }));
    let matrix = or_expression(json!({
        "type": "object",
        "properties": {
            "include": described(combinations.clone(), "Combinations that are added, or more values for some."),
            "exclude": described(combinations, "Combinations that are left out."),
        },
        "additionalProperties": vector,
    }));
    or_expression(keys(
        &[],
        vec![
            ("matrix", "One instance for each combination of the vectors' values.", matrix),
            (
                "fail-fast",
                "One failed instance ends the others; true when left out.",
                default(of("flag"), &json!(true)),
            ),
            ("max-parallel", "How many instances may run at once.", of("number")),
        ],
    ))
}

fn container(more: &[(&'static str, &'static str, Value)]) -> Value {
    let credentials = or_expression(keys(
        &[],
        vec![
            ("username", "The registry's user.", of("filled")),
            ("password", "The registry's password.", of("filled")),
        ],
    ));
    let mut all = vec![
        ("image", "The image.", of("filled")),
        ("credentials", "For a private registry.", credentials),
        ("env", "Variables in the container.", of("variables")),
        ("ports", "Ports to publish.", or_expression(list(&of("filled")))),
        ("volumes", "Volumes to mount.", or_expression(list(&of("filled")))),
        ("options", "Further options of the container's engine.", of("text")),
    ];
    all.extend_from_slice(more);
    keys(&["image"], all)
}

fn environment() -> Value {
    any(&[
        of("text"),
        keys(
            &["name"],
            vec![
                ("name", "The environment's name.", of("text")),
                ("url", "Where the deployment can be seen.", of("text")),
                ("deployment", "Whether a deployment is recorded.", of("flag")),
            ],
        ),
    ])
}

fn snapshot() -> Value {
    any(&[
        of("filled"),
        keys(
            &["image-name"],
            vec![
                ("image-name", "The image's name.", of("filled")),
                ("if", "Whether an image is made.", of("condition")),
                ("version", "The version, such as `1.*`.", of("filled")),
            ],
        ),
    ])
}

fn defaults() -> Value {
    let run = keys(
        &[],
        vec![
            ("shell", "The shell of `run` steps.", of("filled")),
            ("working-directory", "The folder of `run` steps.", of("filled")),
        ],
    );
    keys(
        &[],
        vec![
            ("run", "Settings of `run` steps.", or_expression(run)),
            ("container", "The image that jobs run in.", of("container")),
            ("python", "The environment of Python processes.", of("python")),
            ("pod-template", "A pod template of the team's own.", of("filled")),
        ],
    )
}
