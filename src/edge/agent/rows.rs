//! Rows of a data file: CSV and JSON Lines, read one by one, with the types a schema wants.
//!
//! Not here: what is asked of the rows (`validate`).

use super::fence::Fence;
use super::scope::Failed;
use super::validate::Judge;
use serde_json::{Map, Value as Json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::rc::Rc;
use tidegate_flow::job::FailureClass;

/// The longest row in bytes: an unclosed quote must not read a whole file into memory.
const LONGEST_ROW: u64 = 64 * 1024 * 1024;
/// How deep references of a schema are followed to find a column's type.
const DEEPEST: u32 = 8;

/// A schema of rows, and which types its properties want: CSV has only text.
pub(super) struct RowSchema {
    /// Judges one row.
    pub validator: jsonschema::Validator,
    types: BTreeMap<String, Vec<String>>,
    required: Vec<String>,
}

/// Reads a schema's file.
pub(super) fn schema(fence: &Fence, path: &Path, name: &str) -> Result<RowSchema, Failed> {
    let wrong = |e: &dyn std::fmt::Display| Failed::user(format!("validate: the schema {name}: {e}"));
    let text = fence.read(path, LONGEST_ROW).map_err(|e| wrong(&e))?;
    let json: Json = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
    let validator = jsonschema::validator_for(&json).map_err(|e| wrong(&e))?;
    let properties = json.get("properties").and_then(Json::as_object).into_iter().flatten();
    let types = properties.map(|(column, property)| (column.clone(), types_of(&json, property, 0))).collect();
    let required = json.get("required").and_then(Json::as_array).into_iter().flatten();
    let required = required.filter_map(Json::as_str).map(str::to_owned).collect();
    Ok(RowSchema { validator, types, required })
}

/// The types that a property may have: its own, those of its alternatives, those of what it refers to.
fn types_of(whole: &Json, property: &Json, depth: u32) -> Vec<String> {
    let named = match property.get("type") {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if !named.is_empty() || depth > DEEPEST {
        return named;
    }
    let values = property.get("enum").and_then(Json::as_array).into_iter().flatten();
    let mut types: Vec<String> = values.chain(property.get("const")).map(type_of).collect();
    let parts = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| property.get(key)?.as_array()).flatten();
    let pointer = property.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix('#'));
    let referred = pointer.and_then(|pointer| whole.pointer(pointer));
    for part in parts.chain(referred) {
        types.extend(types_of(whole, part, depth + 1));
    }
    types
}

fn type_of(value: &Json) -> String {
    match value {
        Json::Number(_) => "number",
        Json::Bool(_) => "boolean",
        Json::Null => "null",
        _ => "string",
    }
    .to_owned()
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
    if wants("integer") || wants("number") {
        if let Ok(n) = trimmed.parse::<i64>() {
            return Some(Json::from(n));
        }
        if let Ok(n) = trimmed.parse::<u64>() {
            return Some(Json::from(n));
        }
        if let Some(n) = trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            return Some(Json::Number(n));
        }
    }
    if wants("boolean")
        && let Ok(b) = trimmed.to_ascii_lowercase().parse::<bool>()
    {
        return Some(Json::Bool(b));
    }
    Some(Json::String(text.to_owned()))
}

/// Reads a file row by row into a judge.
pub(super) fn read(fence: &Fence, path: &Path, name: &str, judge: &mut Judge<'_>) -> Result<(), Failed> {
    let wrong = |e: &dyn std::fmt::Display| Failed::user(format!("validate: {name}: {e}"));
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let file = match ending.as_str() {
        "jsonl" | "ndjson" | "csv" | "tsv" => fence.open(path).map_err(|e| wrong(&e))?,
        "parquet" => return Err(wrong(&"Parquet is not read yet; CSV and JSON Lines are")),
        _ => return Err(wrong(&"the file's ending is none of .csv .tsv .jsonl .ndjson")),
    };
    let done = match ending.as_str() {
        "csv" => csv_rows(file, b',', judge),
        "tsv" => csv_rows(file, b'\t', judge),
        _ => json_lines(file, judge),
    };
    done.map_err(|e| Failed::new(FailureClass::Gate, format!("validate: {name}: {e}")))
}

fn json_lines(file: File, judge: &mut Judge<'_>) -> Result<(), String> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let n =
            Read::take(&mut reader, LONGEST_ROW).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if n == 0 {
            break;
        }
        if n as u64 == LONGEST_ROW {
            return Err(format!("line {number} is longer than {LONGEST_ROW} bytes"));
        }
        let text = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Json>(text) {
            Ok(Json::Object(row)) => judge.row(row, number),
            Ok(_) => judge.no_row(number, "no JSON object"),
            Err(e) => judge.no_row(number, &e.to_string()),
        }
    }
    Ok(())
}

/// A reader that gives up when one row takes too much.
struct Bounded {
    file: File,
    since: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.since.set(self.since.get() + n as u64);
        if self.since.get() > LONGEST_ROW {
            return Err(io::Error::other(format!(
                "a row is longer than {LONGEST_ROW} bytes: is a quote not closed?"
            )));
        }
        Ok(n)
    }
}

fn csv_rows(file: File, delimiter: u8, judge: &mut Judge<'_>) -> Result<(), String> {
    let since = Rc::new(Cell::new(0));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(BufReader::with_capacity(256 * 1024, Bounded { file, since: since.clone() }));
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
    if !look_at(&headers, judge) {
        return Ok(());
    }
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| e.to_string())? {
        since.set(0);
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != headers.len() {
            let (cells, wanted) = (record.len(), headers.len());
            judge.no_row(line, &format!("{cells} cells, the header has {wanted}"));
            continue;
        }
        let mut row = Map::new();
        let mut broken = None;
        for (header, value) in headers.iter().zip(&record) {
            let types = judge.schema.and_then(|s| s.types.get(header));
            match std::str::from_utf8(value) {
                Ok(text) => row.extend(cell(text, types).map(|value| (header.clone(), value))),
                Err(_) => broken = Some(header),
            }
        }
        match broken {
            Some(header) => judge.no_row(line, &format!("{header}: not UTF-8")),
            None => judge.row(row, line),
        }
    }
    Ok(())
}

/// Looks at a header: what the schema and the rules need must be there, once. Without it no row is read.
fn look_at(headers: &[String], judge: &mut Judge<'_>) -> bool {
    let there = if headers.is_empty() { "the file is empty".to_owned() } else { headers.join(", ") };
    let mut wrong = Vec::new();
    let required = judge.schema.map(|s| s.required.as_slice()).unwrap_or_default();
    for column in required.iter().chain(judge.columns()).filter(|c| !headers.contains(c)) {
        let text = format!("there is no column `{column}` (there: {there})");
        if !wrong.contains(&text) {
            wrong.push(text);
        }
    }
    for (i, header) in headers.iter().enumerate() {
        if headers.iter().take(i).any(|h| h == header) {
            wrong.push(format!("the column `{header}` is there twice"));
        }
    }
    let good = wrong.is_empty();
    for text in wrong {
        judge.fail("header", text);
    }
    good
}
