//! Command files: what a step writes to `GITHUB_OUTPUT`, `GITHUB_ENV`, `GITHUB_STATE`, `GITHUB_PATH` and
//! `ML_METRICS` (rules: GitHub, "Workflow commands", "Environment files").
//!
//! Not here: reading the files, and what is done with the pairs.

use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Bytes a step may write to `GITHUB_STEP_SUMMARY` (GitHub's limit, 1 MiB).
pub const SUMMARY_LIMIT: usize = 1024 * 1024;

/// Why a command file cannot be taken; the wording follows the runner's, so that searches find it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandFileError {
    /// A line that is neither `name=value` nor `name<<DELIMITER`.
    #[error("Invalid format '{0}'")]
    Format(String),
    /// Nothing before `=` or `<<`.
    #[error("Invalid format '{0}'. Name must not be empty")]
    EmptyName(String),
    /// Nothing after `<<`.
    #[error("Invalid format '{0}'. Delimiter must not be empty")]
    EmptyDelimiter(String),
    /// The file ends inside a value.
    #[error("Invalid value. Matching delimiter not found '{0}'")]
    Unclosed(String),
    /// Bytes that are not text.
    #[error("the file is not UTF-8 (byte {0})")]
    NotText(usize),
}

/// Parses names and values: `name=value` a line, or `name<<DELIMITER` … `DELIMITER`.
///
/// A byte order mark is skipped, `\r\n` ends a line too. Line ends inside a value stay as written.
pub fn parse_pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, CommandFileError> {
    let text = decode(bytes)?;
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=');
        let heredoc = line.find("<<");
        match (equals, heredoc) {
            (Some(at), None) => pairs.push(single(line, at)?),
            (Some(at), Some(h)) if at < h => pairs.push(single(line, at)?),
            (_, Some(at)) => {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                if name.is_empty() {
                    return Err(CommandFileError::EmptyName(line.to_owned()));
                }
                if delimiter.is_empty() {
                    return Err(CommandFileError::EmptyDelimiter(line.to_owned()));
                }
                let (value, after) = heredoc_value(rest, delimiter)?;
                pairs.push((name.to_owned(), value));
                rest = after;
            }
            (None, None) => return Err(CommandFileError::Format(line.to_owned())),
        }
    }
    Ok(pairs)
}

fn single(line: &str, at: usize) -> Result<(String, String), CommandFileError> {
    if at == 0 {
        return Err(CommandFileError::EmptyName(line.to_owned()));
    }
    Ok((line[..at].to_owned(), line[at + 1..].to_owned()))
}

fn heredoc_value<'t>(text: &'t str, delimiter: &str) -> Result<(String, &'t str), CommandFileError> {
    let mut rest = text;
    let mut end = 0;
    loop {
        if rest.is_empty() {
            return Err(CommandFileError::Unclosed(delimiter.to_owned()));
        }
        let (line, after) = split_line(rest);
        if line == delimiter {
            return Ok((text[..end].to_owned(), after));
        }
        // The value ends before the line end that precedes the delimiter.
        end = text.len() - rest.len() + line.len();
        rest = after;
    }
}

/// Parses `GITHUB_PATH`: a folder a line; empty lines are skipped.
pub fn parse_paths(bytes: &[u8]) -> Result<Vec<String>, CommandFileError> {
    let mut rest = decode(bytes)?;
    let mut paths = Vec::new();
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        if !line.is_empty() {
            paths.push(line.to_owned());
        }
        rest = after;
    }
    Ok(paths)
}

/// Parses metrics or parameters: one JSON object, JSON Lines (the last value of a name wins; `step`
/// counts lines and is no metric there), or `name=value` lines. Nested keys are joined by `.`.
pub fn parse_metrics(bytes: &[u8]) -> Result<BTreeMap<String, Json>, CommandFileError> {
    let text = decode(bytes)?;
    let mut metrics = BTreeMap::new();
    if text.trim().is_empty() {
        return Ok(metrics);
    }
    // NaN and Infinity are what Python writes for such floats; they are no JSON. The name must not
    // vanish, or a gate would see an older, finite value.
    let lenient = lenient_numbers(text).filter(|_| text.trim_start().starts_with('{'));
    let text = lenient.as_deref().unwrap_or(text);
    if let Ok(one) = serde_json::from_str::<Json>(text) {
        let Json::Object(_) = one else {
            return Err(CommandFileError::Format(shorten(text)));
        };
        flatten(&mut String::new(), &one, &mut metrics, 0);
        return Ok(metrics);
    }
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if line.starts_with('{') {
            let Ok(Json::Object(mut row)) = serde_json::from_str::<Json>(line) else {
                return Err(CommandFileError::Format(shorten(line)));
            };
            row.shift_remove("step");
            flatten(&mut String::new(), &Json::Object(row), &mut metrics, 0);
        } else if let Some((name, value)) = line.split_once('=').filter(|(n, _)| !n.trim().is_empty()) {
            metrics.insert(name.trim().to_owned(), scalar(value.trim()));
        } else {
            return Err(CommandFileError::Format(shorten(line)));
        }
    }
    Ok(metrics)
}

/// Rewrites bare `NaN`, `Infinity`, `-Infinity` outside of strings as text, as Python's `json` writes them.
/// Returns `None` where there is nothing to rewrite.
fn lenient_numbers(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut changed = false;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        if quoted && c == '\\' {
            let cut = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..cut]);
            rest = &rest[cut..];
            continue;
        }
        if c == '"' {
            quoted = !quoted;
        } else if !quoted && let Some(word) = WORDS.iter().find(|w| rest.starts_with(**w)) {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = &rest[word.len()..];
            changed = true;
            continue;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    changed.then_some(out)
}

fn scalar(text: &str) -> Json {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => serde_json::Number::from_f64(n).map_or(Json::Null, Json::Number),
        _ => match text {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => Json::String(text.to_owned()),
        },
    }
}

fn flatten(prefix: &mut String, value: &Json, into: &mut BTreeMap<String, Json>, depth: usize) {
    let Json::Object(map) = value else {
        into.insert(prefix.clone(), value.clone());
        return;
    };
    if depth > 64 {
        return;
    }
    for (key, inner) in map {
        let length = prefix.len();
        if length > 0 {
            prefix.push('.');
        }
        prefix.push_str(key);
        flatten(prefix, inner, into, depth + 1);
        prefix.truncate(length);
    }
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

fn decode(bytes: &[u8]) -> Result<&str, CommandFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| CommandFileError::NotText(e.valid_up_to()))
}

/// Splits after the first line; its end (`\n` or `\r\n`) belongs to neither part.
fn split_line(text: &str) -> (&str, &str) {
    match text.find('\n') {
        Some(at) => {
            let line = &text[..at];
            (line.strip_suffix('\r').unwrap_or(line), &text[at + 1..])
        }
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_the_runners_table() {
        let pairs = |t: &str| parse_pairs(t.as_bytes());
        let one = |n: &str, v: &str| Ok(vec![(n.to_owned(), v.to_owned())]);
        assert_eq!(pairs("a=b\n"), one("a", "b"));
        assert_eq!(pairs("\u{feff}a=b"), one("a", "b"));
        assert_eq!(pairs("a=b=c\r\n"), one("a", "b=c"));
        assert_eq!(pairs("a=b << c\n"), one("a", "b << c"));
        assert_eq!(pairs("a=\n"), one("a", ""));
        assert_eq!(pairs("a<<EOF\nx\ny\nEOF\n"), one("a", "x\ny"));
        assert_eq!(pairs("a<<EOF\r\nx\r\ny\r\nEOF"), one("a", "x\r\ny"));
        assert_eq!(pairs("a<<EOF\nEOF\n"), one("a", ""));
        assert_eq!(pairs("a<<EOF\n\nEOF\n"), one("a", ""));
        assert_eq!(pairs("a<<EOF\n\n\nEOF\n"), one("a", "\n"));
        assert_eq!(pairs("a<<E=F\nx\nE=F\n"), one("a", "x"));
        assert_eq!(pairs("\n\n").unwrap(), vec![]);
        assert_eq!(pairs("nonsense").unwrap_err().to_string(), "Invalid format 'nonsense'");
        assert_eq!(pairs("=x").unwrap_err(), CommandFileError::EmptyName("=x".into()));
        assert_eq!(pairs("<<x\nx").unwrap_err(), CommandFileError::EmptyName("<<x".into()));
        assert_eq!(pairs("a<<").unwrap_err(), CommandFileError::EmptyDelimiter("a<<".into()));
        assert_eq!(
            pairs("a<<EOF\nx\n").unwrap_err().to_string(),
            "Invalid value. Matching delimiter not found 'EOF'"
        );
        assert_eq!(parse_pairs(b"a=\xff").unwrap_err(), CommandFileError::NotText(2));
    }

    #[test]
    fn metrics_in_three_forms() {
        let m = parse_metrics(br#"{"a": 1, "b": {"c": 0.5, "d": "x"}}"#).unwrap();
        assert_eq!(m["b.c"], 0.5);
        assert_eq!(m["b.d"], "x");
        let m = parse_metrics(b"{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":1.5}\n").unwrap();
        assert_eq!(m.len(), 1);
        assert_eq!(m["loss"], 1.5);
        let m = parse_metrics(b"loss=0.25\nname=x y\n").unwrap();
        assert_eq!((m["loss"].clone(), m["name"].clone()), (0.25.into(), "x y".into()));
        let m = parse_metrics(b"{\"loss\": 1}\n{\"loss\": NaN}\n").unwrap();
        assert_eq!(m["loss"], "NaN");
        let m = parse_metrics(b"{\n \"loss\": NaN,\n \"a\": -Infinity}").unwrap();
        assert_eq!((m["loss"].clone(), m["a"].clone()), ("NaN".into(), "-Infinity".into()));
        assert!(parse_metrics(b"[1]").is_err());
        assert!(parse_metrics(b"{\"a\":").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse_pairs(&bytes);
            let _ = parse_paths(&bytes);
            let _ = parse_metrics(&bytes);
        }

        #[test]
        fn heredocs_give_back_what_was_written(value in "[a-z=<\\n é]{0,40}") {
            let text = format!("name<<_end_0\n{value}\n_end_0\n");
            proptest::prop_assert_eq!(parse_pairs(text.as_bytes()).unwrap(), vec![("name".to_owned(), value)]);
        }
    }
}
