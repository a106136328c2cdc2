//! From one type to another, as GitHub does it.

use super::{Value, number_text, parse_number};
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
