//! Numbers to text and back, by the rules that GitHub's expressions share with JavaScript.
//!
//! Not here: what other kinds of values give as numbers (`coerce`).

/// Tells whether a character is white space to JavaScript: U+FEFF is, U+0085 is not.
pub fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// Reads text as a number as GitHub does; not a number where it is none. Surrounding white space
/// does not count, empty text is 0, and `0x`, `0o` and `0b` are known.
pub fn parse_number(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return 0.0;
    }
    if let Some(value) = parse_radix(text) {
        return value;
    }
    match text {
        "Infinity" | "+Infinity" => return f64::INFINITY,
        "-Infinity" => return f64::NEG_INFINITY,
        _ => {}
    }
    if is_decimal(text) { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// Reads `0x1F`, `0o17` and `0b11`; `None` if the text does not start like one of them.
fn parse_radix(text: &str) -> Option<f64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, text.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, text.get(2..)?),
        _ => return None,
    };
    if digits.is_empty() {
        return Some(f64::NAN);
    }
    // Digits beyond 64 bits move the point; whether any of them is set decides only a tie.
    let (mut sum, mut exponent, mut lost) = (0_u64, 0_i32, false);
    for c in digits.chars() {
        let Some(digit) = c.to_digit(radix) else { return Some(f64::NAN) };
        if exponent == 0 && sum <= u64::MAX >> 8 {
            sum = sum * u64::from(radix) + u64::from(digit);
        } else {
            exponent = exponent.saturating_add(radix.ilog2().cast_signed());
            lost |= digit != 0;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded to nearest, which is the rule")]
    let value = (sum | u64::from(lost)) as f64;
    Some(value * 2.0_f64.powi(exponent))
}

/// Tells whether text is a decimal literal: Rust's own reader also takes `inf` and `nan`.
fn is_decimal(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let at = |i: usize| bytes.get(i).copied();
    let mut i = usize::from(matches!(at(0), Some(b'+' | b'-')));
    let whole = digits(i);
    i += whole;
    let mut fraction = 0;
    if at(i) == Some(b'.') {
        fraction = digits(i + 1);
        i += 1 + fraction;
    }
    if whole + fraction == 0 {
        return false;
    }
    if matches!(at(i), Some(b'e' | b'E')) {
        i += 1 + usize::from(matches!(at(i + 1), Some(b'+' | b'-')));
        let exponent = digits(i);
        if exponent == 0 {
            return false;
        }
        i += exponent;
    }
    i == bytes.len()
}

/// Writes a number as GitHub does when it becomes text: at most 15 places after the point.
pub fn number_text(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() || value.abs() >= 1e21 {
        return shortest(value);
    }
    // A double with 16 binary places lies exactly half way between two results; GitHub rounds
    // that half up, the standard library to even. A nudge upwards decides only such ties.
    let scaled = value.abs() * 65536.0;
    let tie =
        scaled < 9e15 && scaled.fract().abs() < f64::EPSILON && (scaled % 2.0 - 1.0).abs() < f64::EPSILON;
    let nudged = if tie { value + value * f64::EPSILON } else { value };
    shortest(format!("{nudged:.15}").parse().unwrap_or(value))
}

/// Writes the shortest digits that read back as the same number, in JavaScript's notation.
pub(super) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if (1e-6..1e21).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_number() {
        for (text, expected) in [
            ("", 0.0),
            ("  7 ", 7.0),
            ("0x1F", 31.0),
            ("0o17", 15.0),
            ("0b11", 3.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1.5e2", -150.0),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert!((parse_number(text) - expected).abs() < 1e-9 || expected.is_infinite(), "{text}");
        }
        for text in ["inf", "nan", "NaN", "1_000", "0x", "-0x1", "1e", ".", "+", "1 2", "0b2"] {
            assert!(parse_number(text).is_nan(), "{text}");
        }
    }

    #[test]
    fn a_number_becomes_text() {
        for (value, expected) in [
            (0.1 + 0.2, "0.3"),
            (-0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (1e-20, "0"),
            (1.0 / 65536.0, "0.000015258789063"),
            (0.845_512_408_225_570_1, "0.84551240822557"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(number_text(value), expected);
        }
    }
}
