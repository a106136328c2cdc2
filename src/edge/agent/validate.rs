//! `validate`: rows of a CSV or JSON Lines file against a JSON Schema and rules on the whole file.
//!
//! Reads row by row in constant memory; only `unique` remembers a digest of each key.

use super::job::Job;
use super::scope::{Failed, Scope};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use tidegate_flow::gate::{Finding, Outcome, Verdict};
use tidegate_flow::job::{FailureClass, ValidateSpec};
use tidegate_lang::workflow::BoundKind;

/// How many wrong rows are told; the rest is counted.
const TOLD: usize = 20;
/// The longest line of JSON Lines in bytes.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What is asked of a file, evaluated.
#[derive(Debug, Default)]
struct Rules {
    rows_min: Option<f64>,
    rows_max: Option<f64>,
    unique: Vec<Vec<String>>,
    nulls: BTreeMap<String, f64>,
}

impl Job<'_> {
    /// Validates a data file; findings go into a verdict like a gate's.
    pub(super) fn run_validate(
        &mut self,
        scope: &Scope,
        env: &[(String, String)],
        spec: &ValidateSpec,
    ) -> Result<Vec<(String, String)>, Failed> {
        let data = self.text(&spec.data, scope, env)?;
        let rules = Rules {
            unique: unique(&self.tree(spec.unique.as_ref(), scope, env)?)?,
            nulls: nulls(&self.tree(spec.nulls.as_ref(), scope, env)?)?,
            ..rows(&self.tree(spec.rows.as_ref(), scope, env)?)?
        };
        let schema = match &spec.schema {
            Some(template) => {
                let path = self.text(template, scope, env)?;
                Some(schema(&self.place.project.join(&path), &path)?)
            }
            None => None,
        };
        let verdict = judge(&self.place.project.join(&data), &data, schema.as_ref(), &rules)?;
        self.say_verdict(scope, verdict)
    }

    /// Evaluates the templates of a JSON tree.
    fn tree(&self, tree: Option<&Json>, scope: &Scope, env: &[(String, String)]) -> Result<Json, Failed> {
        Ok(match tree {
            None => Json::Null,
            Some(Json::String(text)) if text.contains("${{") => Json::from(&self.value(text, scope, env)?),
            Some(Json::Array(items)) => {
                Json::Array(items.iter().map(|i| self.tree(Some(i), scope, env)).collect::<Result<_, _>>()?)
            }
            Some(Json::Object(map)) => {
                Json::Object(
                    map.iter()
                        .map(|(k, v)| Ok((k.clone(), self.tree(Some(v), scope, env)?)))
                        .collect::<Result<Map<_, _>, Failed>>()?,
                )
            }
            Some(other) => other.clone(),
        })
    }
}

fn number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(n) => n.as_f64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn rows(json: &Json) -> Result<Rules, Failed> {
    let wrong = || Failed::user(format!("validate: `rows` is a number or {{min, max}}, not {json}"));
    Ok(match json {
        Json::Null => Rules::default(),
        Json::Object(map) => {
            let bound = |name: &str| match map.get(name) {
                None => Ok(None),
                Some(n) => number(n).map(Some).ok_or_else(wrong),
            };
            Rules { rows_min: bound("min")?, rows_max: bound("max")?, ..Rules::default() }
        }
        other => {
            let n = number(other).ok_or_else(wrong)?;
            Rules { rows_min: Some(n), rows_max: Some(n), ..Rules::default() }
        }
    })
}

fn unique(json: &Json) -> Result<Vec<Vec<String>>, Failed> {
    let wrong = || Failed::user(format!("validate: `unique` is a column or a list of columns, not {json}"));
    let column = |j: &Json| j.as_str().map(str::to_owned).ok_or_else(wrong);
    match json {
        Json::Null => Ok(Vec::new()),
        Json::String(one) => Ok(vec![vec![one.clone()]]),
        Json::Array(items) => items
            .iter()
            .map(|item| match item {
                Json::Array(group) => group.iter().map(column).collect(),
                one => Ok(vec![column(one)?]),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

/// A number below 1 or with `%` is a share of the rows; returned as a negative share to tell it
/// from a count.
fn nulls(json: &Json) -> Result<BTreeMap<String, f64>, Failed> {
    let wrong = || {
        Failed::user(format!(
            "validate: `nulls` maps columns to a number or a share such as 0.01 or 1%, not {json}"
        ))
    };
    let mut found = BTreeMap::new();
    let Json::Object(map) = json else {
        return if json.is_null() { Ok(found) } else { Err(wrong()) };
    };
    for (column, limit) in map {
        let limit = match limit {
            Json::String(text) if text.trim_end().ends_with('%') => {
                -text.trim().trim_end_matches('%').trim().parse::<f64>().map_err(|_| wrong())? / 100.0
            }
            other => match number(other).ok_or_else(wrong)? {
                share if share > 0.0 && share < 1.0 => -share,
                count => count,
            },
        };
        found.insert(column.clone(), limit);
    }
    Ok(found)
}

/// A schema of rows, and which type its properties want: CSV has only text.
struct RowSchema {
    validator: jsonschema::Validator,
    types: BTreeMap<String, Vec<String>>,
}

fn schema(path: &Path, name: &str) -> Result<RowSchema, Failed> {
    let wrong = |e: &dyn std::fmt::Display| Failed::user(format!("validate: the schema {name}: {e}"));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    let json: Json = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    let validator = jsonschema::validator_for(&json).map_err(|e| wrong(&e))?;
    let mut types = BTreeMap::new();
    if let Some(Json::Object(properties)) = json.get("properties") {
        for (column, property) in properties {
            types.insert(column.clone(), types_of(property));
        }
    }
    Ok(RowSchema { validator, types })
}

fn types_of(property: &Json) -> Vec<String> {
    match property.get("type") {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => match property.get("enum").and_then(Json::as_array) {
            Some(values) => values
                .iter()
                .map(|v| match v {
                    Json::Number(_) => "number".to_owned(),
                    Json::Bool(_) => "boolean".to_owned(),
                    Json::Null => "null".to_owned(),
                    _ => "string".to_owned(),
                })
                .collect(),
            None => Vec::new(),
        },
    }
}

/// A CSV cell as the schema wants it; one that does not fit stays text, and the schema says so.
fn cell(text: &str, types: Option<&Vec<String>>) -> Option<Json> {
    let wants = |name: &str| types.is_some_and(|t| t.iter().any(|x| x == name));
    if text.is_empty() {
        // An empty cell is a null where the schema knows null, text where it wants text, else it is missing.
        return if wants("null") {
            Some(Json::Null)
        } else if wants("string") {
            Some(Json::String(String::new()))
        } else {
            None
        };
    }
    let trimmed = text.trim();
    if wants("integer")
        && let Ok(n) = trimmed.parse::<i64>()
    {
        return Some(Json::from(n));
    }
    if (wants("number") || wants("integer"))
        && let Ok(n) = trimmed.parse::<f64>()
        && let Some(n) = serde_json::Number::from_f64(n)
    {
        return Some(Json::Number(n));
    }
    if wants("boolean")
        && let Ok(b) = trimmed.to_ascii_lowercase().parse::<bool>()
    {
        return Some(Json::Bool(b));
    }
    Some(Json::String(text.to_owned()))
}

struct Judge<'a> {
    schema: Option<&'a RowSchema>,
    rules: &'a Rules,
    seen: Vec<HashSet<[u8; 16]>>,
    empty: BTreeMap<&'a str, u64>,
    rows: u64,
    wrong_rows: u64,
    findings: Vec<Finding>,
}

fn finding(subject: impl Into<String>, holds: bool, note: Option<String>) -> Finding {
    Finding {
        subject: subject.into(),
        kind: None,
        value: None,
        bound: None,
        baseline: None,
        margin: None,
        holds,
        note,
    }
}

impl Judge<'_> {
    /// Looks at one row; `number` counts rows of data from 1, `line` is the line of the file.
    fn row(&mut self, row: &Map<String, Json>, line: u64) {
        self.rows += 1;
        if let Some(schema) = self.schema {
            let row = Json::Object(row.clone());
            if !schema.validator.is_valid(&row) {
                self.wrong_rows += 1;
                if self.findings.len() < TOLD {
                    let note = schema.validator.iter_errors(&row).next().map_or_else(String::new, |e| {
                        let at = e.instance_path().to_string();
                        let at = at.trim_start_matches('/');
                        if at.is_empty() { e.to_string() } else { format!("{at}: {e}") }
                    });
                    let number = self.rows;
                    self.findings.push(finding(
                        "schema",
                        false,
                        Some(format!("row {number} (line {line}): {note}")),
                    ));
                }
            }
        }
        let is_null = |c: &str| row.get(c).is_none_or(|v| v.is_null() || v.as_str() == Some(""));
        for column in self.rules.nulls.keys().filter(|c| is_null(c)) {
            *self.empty.entry(column).or_default() += 1;
        }
        for (columns, seen) in self.rules.unique.iter().zip(&mut self.seen) {
            let mut hash = blake3::Hasher::new();
            for column in columns {
                let value = row.get(column).map(Json::to_string).unwrap_or_default();
                hash.update(&(value.len() as u64).to_le_bytes());
                hash.update(value.as_bytes());
            }
            let mut key = [0; 16];
            hash.finalize_xof().fill(&mut key);
            if !seen.insert(key) && self.findings.len() < 2 * TOLD {
                let number = self.rows;
                let note = format!("row {number} (line {line}) repeats an earlier one");
                self.findings.push(finding(format!("unique {}", columns.join(", ")), false, Some(note)));
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    fn verdict(mut self, name: &str) -> Verdict {
        let rows = self.rows as f64;
        let mut count = |bound: Option<f64>, holds: bool, sign: f64| {
            if let Some(bound) = bound {
                self.findings.push(Finding {
                    value: Some(rows),
                    kind: Some(if sign < 0.0 { BoundKind::Max } else { BoundKind::Min }),
                    bound: Some(bound),
                    margin: Some((rows - bound) * sign),
                    ..finding("rows", holds, None)
                });
            }
        };
        let (min, max) = (self.rules.rows_min, self.rules.rows_max);
        count(min, min.is_none_or(|m| rows >= m), 1.0);
        count(max, max.is_none_or(|m| rows <= m), -1.0);
        for (column, limit) in &self.rules.nulls {
            let empty = self.empty.get(column.as_str()).copied().unwrap_or(0) as f64;
            let (value, bound) = if *limit < 0.0 {
                (if rows > 0.0 { empty / rows } else { 0.0 }, -limit)
            } else {
                (empty, *limit)
            };
            self.findings.push(Finding {
                value: Some(value),
                kind: Some(BoundKind::Max),
                bound: Some(bound),
                margin: Some(bound - value),
                ..finding(format!("nulls {column}"), value <= bound, None)
            });
        }
        if self.schema.is_some() && self.wrong_rows == 0 {
            self.findings.push(finding("schema", true, Some(format!("{} rows of {name}", self.rows))));
        } else if self.wrong_rows > TOLD as u64 {
            self.findings.push(finding(
                "schema",
                false,
                Some(format!("{} rows in all do not fit", self.wrong_rows)),
            ));
        }
        if self.findings.is_empty() {
            self.findings.push(finding("rows", true, Some(format!("{} rows of {name}", self.rows))));
        }
        let holds = self.findings.iter().all(|f| f.holds);
        Verdict { outcome: if holds { Outcome::Pass } else { Outcome::Fail }, findings: self.findings }
    }
}

fn judge(path: &Path, name: &str, schema: Option<&RowSchema>, rules: &Rules) -> Result<Verdict, Failed> {
    let wrong = |e: &dyn std::fmt::Display| Failed::new(FailureClass::Gate, format!("validate: {name}: {e}"));
    let file = File::open(path).map_err(|e| wrong(&e))?;
    let mut judge = Judge {
        schema,
        rules,
        seen: rules.unique.iter().map(|_| HashSet::new()).collect(),
        empty: BTreeMap::new(),
        rows: 0,
        wrong_rows: 0,
        findings: Vec::new(),
    };
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "jsonl" | "ndjson" => json_lines(file, &mut judge).map_err(|e| wrong(&e))?,
        "csv" | "tsv" => {
            csv_rows(file, if ending == "tsv" { b'\t' } else { b',' }, &mut judge).map_err(|e| wrong(&e))?;
        }
        "parquet" => {
            return Err(Failed::user(format!(
                "validate: {name}: Parquet is not read yet; CSV and JSON Lines are"
            )));
        }
        _ => {
            return Err(Failed::user(format!(
                "validate: {name}: the file's ending is none of .csv .tsv .jsonl .ndjson"
            )));
        }
    }
    Ok(judge.verdict(name))
}

fn json_lines(file: File, judge: &mut Judge<'_>) -> Result<(), String> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let n = std::io::Read::take(&mut reader, LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|e| e.to_string())?;
        if n == 0 {
            break;
        }
        if n as u64 == LONGEST_LINE {
            return Err(format!("line {number} is longer than {LONGEST_LINE} bytes"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Json>(&line) {
            Ok(Json::Object(row)) => judge.row(&row, number),
            Ok(_) => return Err(format!("line {number} is no JSON object")),
            Err(e) => return Err(format!("line {number}: {e}")),
        }
    }
    Ok(())
}

fn csv_rows(file: File, delimiter: u8, judge: &mut Judge<'_>) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(BufReader::with_capacity(256 * 1024, file));
    let headers: Vec<String> = reader
        .byte_headers()
        .map_err(|e| e.to_string())?
        .iter()
        .enumerate()
        .map(|(i, h)| {
            let h = String::from_utf8_lossy(h);
            if i == 0 { h.trim_start_matches('\u{feff}').to_owned() } else { h.into_owned() }
        })
        .collect();
    let columns = judge.rules.unique.iter().flatten().chain(judge.rules.nulls.keys());
    for column in columns {
        if !headers.contains(column) {
            return Err(format!("there is no column `{column}`; there are {}", headers.join(", ")));
        }
    }
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| e.to_string())? {
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Map::new();
        for (header, value) in headers.iter().zip(&record) {
            let types = judge.schema.and_then(|s| s.types.get(header));
            if let Some(value) = cell(&String::from_utf8_lossy(value), types) {
                row.insert(header.clone(), value);
            }
        }
        judge.row(&row, line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, data: &str, schema_text: Option<&str>, rules: &Rules) -> Result<Verdict, Failed> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), data).unwrap();
        let made = schema_text.map(|s| {
            std::fs::write(dir.path().join("s.json"), s).unwrap();
            schema(&dir.path().join("s.json"), "s.json").unwrap()
        });
        judge(&dir.path().join(name), name, made.as_ref(), rules)
    }

    const SCHEMA: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":0},"t":{"type":["string","null"]}}}"#;

    #[test]
    fn rows_of_csv_are_typed_by_the_schema() {
        let ok = check("a.csv", "n,t\n1,x\n2,\n", Some(SCHEMA), &Rules::default()).unwrap();
        assert_eq!(ok.outcome, Outcome::Pass, "{ok:?}");
        let bad = check("a.csv", "n,t\n1,x\nn/a,\n-1,y\n,z\n", Some(SCHEMA), &Rules::default()).unwrap();
        assert_eq!(bad.outcome, Outcome::Fail);
        let notes: Vec<_> = bad.findings.iter().filter_map(|f| f.note.clone()).collect();
        assert!(notes[0].starts_with("row 2 (line 3): n:"), "{notes:?}");
        assert_eq!(notes.len(), 3, "{notes:?}");
    }

    #[test]
    fn rules_on_the_whole_file() {
        let rules = Rules {
            rows_min: Some(3.0),
            rows_max: None,
            unique: vec![vec!["n".into()]],
            nulls: [("t".to_owned(), -0.4)].into(),
        };
        let v = check("a.jsonl", "{\"n\":1,\"t\":\"x\"}\n{\"n\":1}\n", None, &rules).unwrap();
        let broken: Vec<_> = v.findings.iter().filter(|f| !f.holds).map(|f| f.subject.as_str()).collect();
        assert_eq!(broken, ["unique n", "rows", "nulls t"]);
        assert!(check("a.csv", "x\n1\n", None, &rules).is_err());
        assert!(check("a.jsonl", "[1]\n", None, &Rules::default()).is_err());
        assert!(check("a.txt", "", None, &Rules::default()).is_err());
    }
}
