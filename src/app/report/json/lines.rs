//! One event, one line.

use tidegate_flow::run::RunEvent;

/// Writes an event as one line of JSON: `at` in milliseconds since 1970, `kind` with one key, the
/// event's name.
pub fn line(event: &RunEvent) -> String {
    let mut text =
        serde_json::to_string(event).unwrap_or_else(|e| format!("{{\"unwritable\":{:?}}}", e.to_string()));
    text.push('\n');
    text
}
