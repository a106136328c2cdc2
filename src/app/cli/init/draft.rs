//! The text of a first workflow.

use super::look::Found;
use crate::app::report::terminal::quoted;
use std::fmt::Write as _;

/// Writes a workflow that runs what was found, in one job: its steps share a folder.
pub(super) fn draft(name: &str, found: &Found) -> String {
    let mut text = format!(
        "# Written by `tidegate init`. What it may say: docs/language.md; what is wrong: `tidegate check`.\nname: {}\n\n\
         on:\n  push:\n  workflow_dispatch:\n\n",
        scalar(name)
    );
    if let Some(python) = python(found) {
        let _ = writeln!(text, "defaults:\n  python: {python}   # made once, then reused\n");
    }
    text.push_str("jobs:\n  train:\n    steps:\n");
    for step in steps(found) {
        let _ = writeln!(text, "      - run: {}", scalar(&step));
    }
    text.push_str(match found.metrics {
        Some(_) => "      # Stops here, with exit code 3, unless the numbers are good enough:\n      # - gate: { metrics: { accuracy: { min: 0.9 } } }\n    metrics: { files: metrics.json, goals: { accuracy: max } }\n",
        None => "      # Stops here, with exit code 3, unless the numbers are good enough:\n      # - gate: { metrics: { accuracy: { min: 0.9 } } }\n    # The numbers that a step writes, such as {\"accuracy\": 0.97}:\n    # metrics: { files: metrics.json, goals: { accuracy: max } }\n",
    });
    text.push_str("    # What is kept of it, by name:\n    # produces: { model: model.joblib }\n");
    text
}

fn python(found: &Found) -> Option<String> {
    let mut parts = Vec::new();
    if found.requirements {
        parts.push("requirements: requirements.txt".to_owned());
    }
    let mut packages: Vec<&str> = found.packages.clone();
    if !found.notebooks.is_empty() {
        packages.extend(["ipykernel", "nbclient"]);
    }
    if !packages.is_empty() {
        parts.push(format!("packages: [{}]", packages.join(", ")));
    }
    (!parts.is_empty()).then(|| format!("{{ {} }}", parts.join(", ")))
}

fn steps(found: &Found) -> Vec<String> {
    let script = |path: &String| format!("python {}", quoted(path));
    let notebook = |path: &String| format!("jupyter execute --inplace {}", quoted(path));
    let mut steps: Vec<String> = found.scripts.iter().map(script).collect();
    steps.extend(found.notebooks.iter().map(notebook));
    if steps.is_empty() {
        steps.push("echo 'put the command that trains here'".to_owned());
    }
    steps
}

/// Text as a YAML scalar: plain where that is text, too, else in quotes.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        assert_eq!([scalar("digits"), scalar("123"), scalar("no")], ["digits", "\"123\"", "\"no\""]);
        assert_eq!(scalar("python 'my train.py'"), "python 'my train.py'");
    }
}
