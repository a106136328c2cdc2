//! Findings as SARIF 2.1.0, which code hosts read.

use super::{CheckedFile, Place};
use serde_json::{Value, json};
use std::fmt::Write as _;
use tidegate_lang::check::RULES;
use tidegate_lang::source::{Diagnostic, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Writes all findings as one SARIF log.
pub fn sarif(files: &[CheckedFile]) -> String {
    let mut rules: Vec<&'static str> = Vec::new();
    let mut results = Vec::new();
    for file in files {
        for diagnostic in &file.findings {
            let index = rules.iter().position(|r| *r == diagnostic.rule).unwrap_or_else(|| {
                rules.push(diagnostic.rule);
                rules.len() - 1
            });
            results.push(result(file, diagnostic, index));
        }
    }
    let rules: Vec<Value> = rules.into_iter().map(rule).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tidegate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn rule(id: &'static str) -> Value {
    let about = RULES.iter().find(|r| r.id == id).map_or(id, |r| r.about);
    json!({ "id": id, "shortDescription": { "text": about } })
}

fn result(file: &CheckedFile, diagnostic: &Diagnostic, index: usize) -> Value {
    let level = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    let mut text = diagnostic.message.clone();
    for line in diagnostic.label.iter().chain(&diagnostic.help) {
        text.push('\n');
        text.push_str(line);
    }
    let mut result = json!({
        "ruleId": diagnostic.rule,
        "ruleIndex": index,
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": location(&file.place(diagnostic.span)) }],
    });
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().map(|r| {
            json!({
                "physicalLocation": location(&file.place(r.span)),
                "message": { "text": r.text },
            })
        });
        result["relatedLocations"] = related.collect();
    }
    if let Some(fix) = &diagnostic.fix {
        let place = file.place(fix.span);
        result["fixes"] = json!([{
            "description": { "text": format!("replace it by `{}`", fix.text) },
            "artifactChanges": [{
                "artifactLocation": { "uri": uri(&place.path) },
                "replacements": [{
                    "deletedRegion": region(&place),
                    "insertedContent": { "text": fix.text },
                }],
            }],
        }]);
    }
    result
}

fn location(place: &Place) -> Value {
    json!({ "artifactLocation": { "uri": uri(&place.path) }, "region": region(place) })
}

fn region(place: &Place) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

/// Writes a path as a relative URI reference: everything but unreserved characters is escaped.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri(".ml/workflows/a b%é.yml"), ".ml/workflows/a%20b%25%C3%A9.yml");
    }
}
