//! JSON text to a value, as JavaScript reads it: numbers beyond a double are infinite, half a pair
//! of surrogates is a replacement character, and of keys that differ in case only the first counts.
//!
//! Not here: JSON that a library has read already (`json`).

use super::{Object, Value, parse_number};
use std::sync::Arc;

/// How deep lists and maps may be nested. Values are stored inside other JSON, whose readers stop
/// at 128.
const MAX_DEPTH: usize = 100;

impl Value {
    /// Reads JSON text; the error says what is wrong and at which byte.
    pub fn from_json_text(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let value = reader.value()?;
        reader.space();
        if reader.at < text.len() { Err(reader.unexpected()) } else { Ok(value) }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn unexpected(&self) -> String {
        match self.rest().chars().next() {
            Some(c) => format!("unexpected `{}` at byte {}", c.escape_debug(), self.at),
            None => "it ends too early".to_owned(),
        }
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.space();
        let yes = self.byte() == Some(byte);
        self.at += usize::from(yes);
        yes
    }

    fn value(&mut self) -> Result<Value, String> {
        self.space();
        for (word, value) in
            [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))]
        {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.byte() {
            Some(b'"') => Ok(Value::from(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(open @ (b'[' | b'{')) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
                }
                self.at += 1;
                let value = if open == b'[' { self.list() } else { self.map() };
                self.depth -= 1;
                value
            }
            _ => Err(self.unexpected()),
        }
    }

    fn list(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        while items.is_empty() || self.accept(b',') {
            if items.is_empty() && self.accept(b']') {
                return Ok(Value::array(items));
            }
            items.push(self.value()?);
        }
        if self.accept(b']') { Ok(Value::array(items)) } else { Err(self.unexpected()) }
    }

    fn map(&mut self) -> Result<Value, String> {
        // The same key again replaces the value; one in another case is not seen.
        let mut object = Object::default();
        let mut first = true;
        while first || self.accept(b',') {
            if first && self.accept(b'}') {
                return Ok(Value::object(object));
            }
            first = false;
            self.space();
            if self.byte() != Some(b'"') {
                return Err(self.unexpected());
            }
            let key: Arc<str> = self.string()?.into();
            if !self.accept(b':') {
                return Err(self.unexpected());
            }
            let value = self.value()?;
            if object.spelling(&key).is_none_or(|known| *known == key) {
                object.insert(key, value);
            }
        }
        if self.accept(b'}') { Ok(Value::object(object)) } else { Err(self.unexpected()) }
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        let whole = self.digits()?;
        if whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0') {
            self.at -= whole - 1;
            return Err(self.unexpected());
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(parse_number(self.text.get(start..self.at).unwrap_or_default())))
    }

    /// Passes at least one digit; returns how many.
    fn digits(&mut self) -> Result<usize, String> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        if count == 0 { Err(self.unexpected()) } else { Ok(count) }
    }

    /// Reads a text; the next byte is its opening quote.
    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let end = |c: char| matches!(c, '"' | '\\' | '\0'..='\u{1f}');
            let plain = self.rest().find(end).unwrap_or(self.rest().len());
            out.push_str(self.rest().get(..plain).unwrap_or_default());
            self.at += plain;
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let byte = self.byte();
        let character = match byte {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads `uXXXX`, and a second one behind it where the first is half a pair.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.unit()?;
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 1;
            let second = self.unit()?;
            if let Some(Ok(pair)) = char::decode_utf16([first, second]).next() {
                return Ok(pair);
            }
            self.at = before;
        }
        Ok(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits =
            self.text.get(self.at + 1..self.at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|d| u16::from_str_radix(d, 16).ok()).ok_or_else(|| self.unexpected())?;
        self.at += 5;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_javascript_reads_it() {
        for (text, expected) in [
            ("1e400", "Infinity"),
            (" [ ] ", "Array"),
            ("-0.5E+1", "-5"),
            (r#""a\u00e9\ud83d\ude00\ud83dx\/\n""#, "aé😀\u{fffd}x/\n"),
            ("0.1234567890123456789", "0.123456789012346"),
        ] {
            assert_eq!(
                Value::from_json_text(text).map(|v| v.to_text().to_string()).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for text in [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "[1,]",
            "[,1]",
            "{a:1}",
            "{\"a\":1,}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "[",
            "1 2",
            "NaN",
            "'a'",
            "{\"a\" 1}",
            "\u{feff}1",
            "\"\\u12é\"",
        ] {
            assert!(Value::from_json_text(text).is_err(), "{text}");
        }
        assert!(Value::from_json_text(&"[".repeat(100_000)).is_err());
        assert!(Value::from_json_text(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
    }

    #[test]
    fn of_keys_that_differ_in_case_the_first_counts() {
        let read = |text| Value::from_json_text(text).map(|v| v.to_pretty_json().replace([' ', '\n'], ""));
        assert_eq!(read(r#"{"a":1,"A":2,"b":3}"#).as_deref(), Ok(r#"{"a":1,"b":3}"#));
        assert_eq!(read(r#"{"a":1,"b":3,"a":2}"#).as_deref(), Ok(r#"{"a":2,"b":3}"#));
    }
}
