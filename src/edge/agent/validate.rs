//! `validate`: rows of a CSV or JSON Lines file against a JSON Schema and rules on the whole file.
//!
//! Reads row by row in constant memory; only `unique` remembers a digest of each key.

use super::fence::Fence;
use super::job::Job;
use super::rows::{RowSchema, read, schema};
use super::scope::{Failed, Scope};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tidegate_flow::gate::{Finding, Outcome, Verdict};
use tidegate_flow::job::ValidateSpec;
use tidegate_lang::workflow::BoundKind;

/// How many wrong rows are told; the rest is counted.
const TOLD: usize = 20;
/// Characters of what is said of one row.
const LONGEST_NOTE: usize = 400;

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
                Some(schema(&self.fence, &self.place.project.join(&path), &path)?)
            }
            None => None,
        };
        let verdict = judge(&self.fence, &self.place.project.join(&data), &data, schema.as_ref(), &rules)?;
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

/// What was seen so far of a file.
pub(super) struct Judge<'a> {
    /// What each row must be.
    pub schema: Option<&'a RowSchema>,
    rules: &'a Rules,
    seen: Vec<HashSet<[u8; 16]>>,
    empty: BTreeMap<&'a str, u64>,
    rows: u64,
    wrong_rows: u64,
    repeated: usize,
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

impl<'a> Judge<'a> {
    /// Columns that the rules name.
    pub fn columns(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.rules.unique.iter().flatten().chain(self.rules.nulls.keys())
    }

    /// Notes something that is wrong with the whole file.
    pub fn fail(&mut self, subject: &str, note: String) {
        self.findings.push(finding(subject, false, Some(note)));
    }

    /// Notes a row that is none.
    pub fn no_row(&mut self, line: u64, why: &str) {
        self.rows += 1;
        self.wrong_row(line, why);
    }

    fn wrong_row(&mut self, line: u64, why: &str) {
        self.wrong_rows += 1;
        if self.wrong_rows <= TOLD as u64 {
            let why: String = why.chars().take(LONGEST_NOTE).collect();
            self.fail("schema", format!("row {} (line {line}): {why}", self.rows));
        }
    }

    /// Looks at one row; rows of data are counted from 1, `line` is the line of the file.
    pub fn row(&mut self, row: Map<String, Json>, line: u64) {
        self.rows += 1;
        let row = Json::Object(row);
        if let Some(schema) = self.schema
            && !schema.validator.is_valid(&row)
        {
            let note = schema.validator.iter_errors(&row).next().map_or_else(String::new, |e| {
                let at = e.instance_path().to_string();
                let at = at.trim_start_matches('/');
                if at.is_empty() { e.to_string() } else { format!("{at}: {e}") }
            });
            self.wrong_row(line, &note);
        }
        let is_null = |c: &str| row.get(c).is_none_or(|v| v.is_null() || v.as_str() == Some(""));
        for column in self.rules.nulls.keys().filter(|c| is_null(c)) {
            *self.empty.entry(column).or_default() += 1;
        }
        for (columns, seen) in self.rules.unique.iter().zip(&mut self.seen) {
            let mut hash = blake3::Hasher::new();
            let mut shown = String::new();
            for column in columns {
                let value = row.get(column).map(Json::to_string).unwrap_or_default();
                if self.repeated < TOLD {
                    shown.push(' ');
                    shown.push_str(&value);
                }
                hash.update(&(value.len() as u64).to_le_bytes());
                hash.update(value.as_bytes());
            }
            let mut key = [0; 16];
            hash.finalize_xof().fill(&mut key);
            if !seen.insert(key) {
                self.repeated += 1;
                if self.repeated <= TOLD {
                    let shown: String = shown.chars().take(LONGEST_NOTE).collect();
                    let note = format!("row {} (line {line}) repeats an earlier one:{shown}", self.rows);
                    self.findings.push(finding(format!("unique {}", columns.join(", ")), false, Some(note)));
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    fn verdict(mut self, name: &str) -> Verdict {
        let rows = self.rows as f64;
        if self.repeated > TOLD {
            let text = format!("{} rows in all repeat an earlier one", self.repeated);
            self.findings.push(finding("unique", false, Some(text)));
        }
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
        let headed = self.findings.iter().all(|f| f.subject != "header");
        if self.schema.is_some() && self.wrong_rows == 0 && headed {
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

fn judge(
    fence: &Fence,
    path: &Path,
    name: &str,
    schema: Option<&RowSchema>,
    rules: &Rules,
) -> Result<Verdict, Failed> {
    let mut judge = Judge {
        schema,
        rules,
        seen: rules.unique.iter().map(|_| HashSet::new()).collect(),
        empty: BTreeMap::new(),
        rows: 0,
        wrong_rows: 0,
        repeated: 0,
        findings: Vec::new(),
    };
    read(fence, path, name, &mut judge)?;
    Ok(judge.verdict(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn check(name: &str, data: &str, schema_text: Option<&str>, rules: &Rules) -> Result<Verdict, Failed> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), data).unwrap();
        let made = schema_text.map(|s| {
            std::fs::write(dir.path().join("s.json"), s).unwrap();
            schema(&Fence::default(), &dir.path().join("s.json"), "s.json").unwrap()
        });
        judge(&Fence::default(), &dir.path().join(name), name, made.as_ref(), rules)
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
        assert!(check("a.txt", "", None, &Rules::default()).is_err());
    }

    /// The notes of what does not hold.
    fn wrong(name: &str, data: &str, schema: Option<&str>, rules: &Rules) -> Vec<String> {
        let verdict = check(name, data, schema, rules).unwrap();
        assert_eq!(verdict.outcome == Outcome::Fail, verdict.findings.iter().any(|f| !f.holds));
        verdict.findings.into_iter().filter(|f| !f.holds).filter_map(|f| f.note).collect()
    }

    #[test]
    fn csv_of_all_kinds() {
        let fine = |data: &str| {
            assert_eq!(wrong("a.csv", data, Some(SCHEMA), &Rules::default()), [""; 0], "{data:?}");
        };
        fine("\u{feff}n,t\r\n1,x\r\n2,\"two\r\nlines, \"\"quoted\"\"\"\r\n");
        fine("n,t\n18446744073709551615,x\n 3 ,x\n4.0,x");
        fine("n,t\n");
        let none = Rules::default();
        for (data, note) in [
            ("", "there is no column `n` (there: the file is empty)"),
            ("x,t\n1,2\n", "there is no column `n` (there: x, t)"),
            ("n,n\n1,2\n", "the column `n` is there twice"),
            ("n,t\n1\n", "row 1 (line 2): 1 cells, the header has 2"),
            ("n,t\n1,\"a\nb\"\n1.5,x\n", "row 2 (line 4): n: 1.5 is not of type \"integer\""),
            ("n,t\nNaN,x\n", "row 1 (line 2): n: \"NaN\" is not of type \"integer\""),
        ] {
            assert_eq!(
                wrong("a.csv", data, Some(SCHEMA), &none).first().map(String::as_str),
                Some(note),
                "{data:?}"
            );
        }
        let rules = Rules { unique: vec![vec!["k".into()]], ..Rules::default() };
        assert_eq!(wrong("a.csv", "x\n1\n", None, &rules), ["there is no column `k` (there: x)"]);
        assert_eq!(
            wrong("a.csv", "k\na\na\n", None, &rules),
            ["row 2 (line 3) repeats an earlier one: \"a\""]
        );
    }

    #[test]
    fn lines_that_are_no_rows_are_told_and_counted() {
        let none = Rules::default();
        let notes = wrong("a.jsonl", "\u{feff}{\"n\":1}\r\n[1]\n\n{oops\n", Some(SCHEMA), &none);
        assert_eq!(notes[0], "row 2 (line 2): no JSON object");
        assert!(notes[1].starts_with("row 3 (line 4): key must be a string"), "{notes:?}");
        let many = "{\"n\":\"x\"}\n".repeat(50);
        let notes = wrong("a.jsonl", &many, Some(SCHEMA), &none);
        assert_eq!((notes.len(), notes[20].as_str()), (21, "50 rows in all do not fit"));
        assert!(notes[0].contains("\"x\" is not of type"), "the value is told: {}", notes[0]);
        assert_eq!(wrong("a.jsonl", "", Some(SCHEMA), &none), [""; 0], "no rows are no wrong rows");
    }

    #[test]
    fn types_are_found_through_references() {
        let schema = r##"{"$defs":{"age":{"type":"integer"}},"properties":{
            "a":{"$ref":"#/$defs/age"},"b":{"anyOf":[{"type":"number"},{"type":"null"}]},"c":{"const":true}}}"##;
        assert_eq!(wrong("a.csv", "a,b,c\n1,,true\n2,0.5,TRUE\n", Some(schema), &Rules::default()), [""; 0]);
    }

    #[test]
    fn an_unclosed_quote_does_not_fill_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "n\n\"1\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        let failed = judge(&Fence::default(), &path, "a.csv", None, &Rules::default()).unwrap_err();
        assert!(failed.reason.contains("is a quote not closed?"), "{failed:?}");
    }
}
