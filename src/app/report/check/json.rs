//! Findings as one JSON object for programs.

use super::{CheckedFile, Place, Totals};
use serde_json::{Value, json};
use tidegate_lang::source::{Diagnostic, Severity};

/// Writes all findings as one line of JSON.
pub fn json(files: &[CheckedFile]) -> String {
    let findings: Vec<Value> =
        files.iter().flat_map(|file| file.findings.iter().map(move |d| finding(file, d))).collect();
    let totals = Totals::of(files);
    let value = json!({
        "findings": findings,
        "files": totals.files,
        "files_affected": totals.affected,
        "errors": totals.errors,
        "warnings": totals.warnings,
    });
    format!("{value}\n")
}

fn finding(file: &CheckedFile, diagnostic: &Diagnostic) -> Value {
    let mut value = place(&file.place(diagnostic.span));
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    value["rule"] = diagnostic.rule.into();
    value["severity"] = severity.into();
    value["message"] = diagnostic.message.as_str().into();
    value["label"] = diagnostic.label.as_deref().into();
    value["help"] = diagnostic.help.clone().into();
    let related = diagnostic.related.iter().map(|r| {
        let mut related = place(&file.place(r.span));
        related["text"] = r.text.as_str().into();
        related
    });
    value["related"] = related.collect();
    value["fix"] = diagnostic.fix.as_ref().map_or(Value::Null, |fix| {
        let mut value = place(&file.place(fix.span));
        value["text"] = fix.text.as_str().into();
        value
    });
    value
}

fn place(place: &Place) -> Value {
    json!({
        "path": place.path,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
    })
}
