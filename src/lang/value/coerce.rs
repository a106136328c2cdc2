//! From one type to another, as GitHub does it.

use super::Value;
use std::sync::Arc;

impl Value {
    /// Makes text.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// Makes a list.
    pub fn array(items: Vec<Self>) -> Self {
        Self::Array(Arc::new(items))
    }

    /// Makes a map.
    pub fn object(object: super::Object) -> Self {
        Self::Object(Arc::new(object))
    }

    /// Returns the name of its type as GitHub spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "Boolean",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// Tells whether `if` takes it for true: all but null, false, 0, NaN and empty text.
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0 && !n.is_nan(),
            Self::String(s) => !s.is_empty(),
            Self::Array(_) | Self::Object(_) => true,
        }
    }

    /// Returns it as a number; NaN where it is none.
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(b) => f64::from(u8::from(*b)),
            Self::Number(n) => *n,
            Self::String(s) => parse_number(s),
            Self::Array(_) | Self::Object(_) => f64::NAN,
        }
    }

    /// Returns it as text: `Array` and `Object` for the large shapes.
    pub fn to_text(&self) -> Arc<str> {
        match self {
            Self::Null => Arc::from(""),
            Self::Bool(true) => Arc::from("true"),
            Self::Bool(false) => Arc::from("false"),
            Self::Number(n) => Arc::from(number_text(*n)),
            Self::String(s) => s.clone(),
            Self::Array(_) => Arc::from("Array"),
            Self::Object(_) => Arc::from("Object"),
        }
    }

    /// Returns a property of a map; null for all else.
    pub fn property(&self, name: &str) -> Self {
        match self {
            Self::Object(o) => o.get(name).cloned().unwrap_or_default(),
            _ => Self::Null,
        }
    }

    /// Tells whether it is neither list nor map.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(Arc::from(s))
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(Arc::from(s))
    }
}

/// Reads a number from text: empty text is 0; decimal, `0x`, `0o`, `Infinity`; otherwise NaN.
pub fn parse_number(text: &str) -> f64 {
    let text = text.trim();
    let radix = |digits: &str, radix: u32| {
        let ok = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        if ok {
            digits.chars().fold(0.0, |n, c| n * f64::from(radix) + f64::from(c.to_digit(radix).unwrap_or(0)))
        } else {
            f64::NAN
        }
    };
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => {
            if let Some(hex) = text.strip_prefix("0x") {
                return radix(hex, 16);
            }
            if let Some(octal) = text.strip_prefix("0o") {
                return radix(octal, 8);
            }
            // `f64::from_str` also knows "inf" and "nan" in any case.
            if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
                text.parse().unwrap_or(f64::NAN)
            } else {
                f64::NAN
            }
        }
    }
}

/// Writes a number as GitHub does: at most 15 decimals, exponents from 1e21 and below 1e-6.
pub fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let rounded =
        if number.abs() < 1e21 { format!("{number:.15}").parse().unwrap_or(number) } else { number };
    if rounded == 0.0 {
        return "0".to_owned();
    }
    let size: f64 = f64::abs(rounded);
    if (1e-6..1e21).contains(&size) {
        format!("{rounded}")
    } else {
        let text = format!("{rounded:e}");
        match text.split_once('e') {
            Some((m, e)) if !e.starts_with('-') => format!("{m}e+{e}"),
            _ => text,
        }
    }
}
