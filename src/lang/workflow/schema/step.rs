//! `steps`.

use super::shape::{keys, list, named, of, or_expression, or_nothing};
use serde_json::{Map, Value, json};

/// The keys that make a step, with what each is for.
const KINDS: &[&str] = &[
    "run", "uses", "wait", "wait-all", "cancel", "parallel", "gate", "validate", "notebook", "register",
    "deploy",
];

/// Adds the shapes of this section.
pub(super) fn define(shapes: &mut Map<String, Value>) {
    let mut step = keys(
        &[],
        vec![
            ("id", "The name for `steps.<id>`.", of("filled")),
            ("name", "The name that people see.", of("text")),
            ("if", "Runs the step when this is true; `success()` when left out.", of("condition")),
            ("env", "Variables for this step.", or_nothing(of("variables"))),
            ("continue-on-error", "The job goes on when this step fails.", of("flag")),
            ("timeout-minutes", "How long the step may take.", of("number")),
            ("run", "A script.", of("text")),
            ("shell", "`bash`, `sh`, `python`, `pwsh` or a command with `{0}`.", of("filled")),
            ("working-directory", "The folder, from the project's.", of("text")),
            ("uses", "An action: `./path` or `owner/repo@ref`.", of("filled")),
            ("with", "The action's inputs.", or_nothing(or_expression(named(&of("text"))))),
            ("background", "The next step does not wait.", json!({ "type": "boolean" })),
            ("wait", "Waits for background steps.", of("words")),
            ("wait-all", "Waits for all background steps.", json!({ "type": ["boolean", "null"] })),
            ("cancel", "Ends a background step.", of("filled")),
            ("parallel", "Steps that run at once.", list(&of("step"))),
            ("gate", "Stops the run unless the numbers are good enough.", of("gate")),
            ("validate", "Stops the job unless the data fits.", of("validate")),
            ("notebook", "Runs a notebook and keeps the executed copy.", of("notebook")),
            ("register", "Adds a model to the registry.", of("register")),
            ("deploy", "Moves a model to where it serves.", of("deploy")),
            ("container", "An image of its own for this step.", of("container")),
            ("resources", "What the step needs.", of("resources")),
            ("retry", "Tries again after some failures.", of("retry")),
        ],
    );
    step["anyOf"] = KINDS.iter().map(|kind| json!({ "required": [kind] })).collect();
    shapes.insert("step".to_owned(), step);
}
