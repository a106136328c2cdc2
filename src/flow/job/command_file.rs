//! Command files: what a step writes to `GITHUB_OUTPUT`, `GITHUB_ENV`, `GITHUB_STATE`, `GITHUB_PATH` and
//! `ML_METRICS` (rules: GitHub, "Workflow commands", "Environment files").
//!
//! Not here: reading the files, and what is done with the pairs.

use serde_json::Value as Json;
use std::borrow::Cow;
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
    #[error("Invalid format '{0}'. Name must not be empty and delimiter must not be empty")]
    EmptyDelimiter(String),
    /// The file ends inside a value.
    #[error("Invalid value. Matching delimiter not found '{0}'")]
    Unclosed(String),
    /// A value's last line and the file's end are the same: the delimiter cannot follow.
    #[error("Invalid value. EOF marker missing new line.")]
    NoNewLine,
    /// Bytes that are not text.
    #[error("the file is not UTF-8 (byte {0})")]
    NotText(usize),
}

/// What a command file of names and values says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// In the file's order, up to what is wrong.
    pub taken: Vec<(String, String)>,
    /// Why the rest is not taken: the step fails, and keeps what stands before, as at GitHub.
    pub wrong: Option<CommandFileError>,
}

/// Parses names and values: `name=value` a line, or `name<<DELIMITER` … `DELIMITER`.
///
/// Only `\n` ends a line, as in GitHub's runner on Linux: of `\r\n` the `\r` is part of the value.
/// A byte order mark names the encoding (UTF-8, UTF-16 or UTF-32); what is no text in it becomes
/// U+FFFD.
pub fn parse_pairs(bytes: &[u8]) -> Pairs {
    let text = decode(bytes);
    let mut pairs = Pairs::default();
    let mut rest = text.as_ref();
    while !rest.is_empty() {
        match next_pair(&mut rest) {
            Ok(pair) => pairs.taken.extend(pair),
            Err(wrong) => {
                pairs.wrong = Some(wrong);
                break;
            }
        }
    }
    pairs
}

/// Takes the pair that starts in the next line; an empty line has none.
fn next_pair(rest: &mut &str) -> Result<Option<(String, String)>, CommandFileError> {
    let (line, after) = split_line(rest);
    *rest = after;
    if line.is_empty() {
        return Ok(None);
    }
    let whole = || line.to_owned();
    let heredoc = line.find("<<");
    let equals = line.find('=').filter(|at| heredoc.is_none_or(|h| *at < h));
    if let Some((name, value)) = equals.map(|at| (&line[..at], &line[at + 1..])) {
        if name.is_empty() {
            return Err(CommandFileError::EmptyName(whole()));
        }
        return Ok(Some((name.to_owned(), value.to_owned())));
    }
    let Some(at) = heredoc else { return Err(CommandFileError::Format(whole())) };
    let (name, delimiter) = (&line[..at], &line[at + 2..]);
    if name.is_empty() || delimiter.is_empty() {
        return Err(CommandFileError::EmptyDelimiter(whole()));
    }
    let (value, after) = heredoc_value(rest, delimiter)?;
    *rest = after;
    Ok(Some((name.to_owned(), value)))
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
        if line.len() == rest.len() {
            return Err(CommandFileError::NoNewLine);
        }
        // The value ends before the line end that precedes the delimiter.
        end = text.len() - rest.len() + line.len();
        rest = after;
    }
}

/// Parses `GITHUB_PATH`: a folder a line, ended by `\n`, `\r` or both; empty lines are skipped.
pub fn parse_paths(bytes: &[u8]) -> Vec<String> {
    decode(bytes).split(['\n', '\r']).filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

/// Parses metrics or parameters: one JSON object, JSON Lines (the last value of a name wins; `step`
/// counts lines and is no metric there), or `name=value` lines. Nested keys are joined by `.`.
pub fn parse_metrics(bytes: &[u8]) -> Result<BTreeMap<String, Json>, CommandFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| CommandFileError::NotText(e.valid_up_to()))?;
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

/// Reads text as .NET's `File.ReadAllText` does, which the runner uses.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return String::from_utf8_lossy(rest);
    }
    let wide = |unit: fn([u8; 4]) -> u32| -> Cow<'_, str> {
        let units = bytes[4..].chunks(4).map(|c| <[u8; 4]>::try_from(c).map_or(u32::MAX, unit));
        units.map(|u| char::from_u32(u).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    let half = |unit: fn([u8; 2]) -> u16| -> Cow<'_, str> {
        let units = bytes[2..].chunks(2).map(|c| <[u8; 2]>::try_from(c).map_or(0xFFFD, unit));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] => wide(u32::from_le_bytes),
        [0, 0, 0xFE, 0xFF, ..] => wide(u32::from_be_bytes),
        [0xFF, 0xFE, ..] => half(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => half(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// Splits after the first line; its end belongs to neither part.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
        let Pairs { taken, wrong } = parse_pairs(bytes);
        wrong.map_or(Ok(taken), |w| Err(w.to_string()))
    }

    #[test]
    fn pairs_by_the_runners_table() {
        for (text, value) in [
            ("a=b\n", "b"),
            ("\u{feff}a=b", "b"),
            ("a=b=c", "b=c"),
            ("a=b << c\n", "b << c"),
            ("a=\n", ""),
            ("\n\na= b \n", " b "),
            ("a<<EOF\nx\ny\nEOF\n", "x\ny"),
            ("a<<EOF\nx\ny\nEOF", "x\ny"),
            ("a<<EOF\nEOF\n", ""),
            ("a<<EOF\n\nEOF\n", ""),
            ("a<<EOF\n\n\nEOF\n", "\n"),
            ("a<<E=F\nx\nE=F\n", "x"),
            ("a<<EOF\n EOF\nEOF\n", " EOF"),
            // On Linux the runner knows no other line end.
            ("a=b\r\n", "b\r"),
            ("a<<EOF\r\nx\r\ny\r\nEOF\r\n", "x\r\ny\r"),
        ] {
            assert_eq!(pairs(text.as_bytes()), Ok(vec![("a".to_owned(), value.to_owned())]), "{text:?}");
        }
        assert_eq!(pairs(b"\n\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_runners_words() {
        for (text, words) in [
            ("nonsense", "Invalid format 'nonsense'"),
            ("=x", "Invalid format '=x'. Name must not be empty"),
            ("<<x\nx", "Invalid format '<<x'. Name must not be empty and delimiter must not be empty"),
            ("a<<", "Invalid format 'a<<'. Name must not be empty and delimiter must not be empty"),
            ("a<<EOF\nx\n", "Invalid value. Matching delimiter not found 'EOF'"),
            ("a<<EOF\r\nx\nEOF\n", "Invalid value. Matching delimiter not found 'EOF\r'"),
            ("a<<EOF\nx", "Invalid value. EOF marker missing new line."),
            ("\r\n", "Invalid format '\r'"),
        ] {
            assert_eq!(pairs(text.as_bytes()), Err(words.to_owned()), "{text:?}");
        }
        let before = parse_pairs(b"a=1\nwrong\nb=2\n");
        assert_eq!(before.taken, [("a".to_owned(), "1".to_owned())], "what stands before counts");
        assert!(before.wrong.is_some());
    }

    #[test]
    fn encodings_by_their_marks() {
        let of = |value: &str| Ok(vec![("a".to_owned(), value.to_owned())]);
        let wide = |mark: &str, little: bool| -> Vec<u8> {
            let units = mark.encode_utf16();
            units.flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
        };
        assert_eq!(pairs(&wide("\u{feff}a=é\u{1F600}\n", true)), of("é\u{1F600}"));
        assert_eq!(pairs(&wide("\u{feff}a=é\n", false)), of("é"));
        let four: Vec<u8> = "\u{feff}a=x".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(pairs(&four), of("x"));
        assert_eq!(pairs(b"a=\xff!"), of("\u{fffd}!"));
        assert_eq!(parse_paths(b"\xef\xbb\xbf/a\r\n\r\n/b c\n"), ["/a", "/b c"]);
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
            proptest::prop_assert_eq!(pairs(text.as_bytes()), Ok(vec![("name".to_owned(), value)]));
        }
    }
}
