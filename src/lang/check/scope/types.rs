//! Types of values that expressions can have.

use crate::value::Value;
use std::sync::Arc;

/// What is known of a value before it exists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    /// Nothing.
    Any,
    /// `null`.
    Null,
    /// A boolean.
    Bool,
    /// A number.
    Number,
    /// Text.
    String,
    /// A list of one type.
    Array(Arc<Type>),
    /// A map.
    Object(Arc<Shape>),
}

/// What is known of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    /// What the map is, which decides the rule that speaks when a key is missing.
    pub kind: Kind,
    /// Known keys as spelled where they are defined.
    pub fields: Vec<(Arc<str>, Type)>,
    /// The type of all other keys; `None` if there are no others.
    pub rest: Option<Type>,
}

/// Maps with a meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `steps`.
    Steps,
    /// `steps.<id>.outputs`.
    StepOutputs(Arc<str>),
    /// `needs`.
    Needs,
    /// `needs.<id>.outputs` or `jobs.<id>.outputs`.
    JobOutputs(Arc<str>),
    /// `needs.<id>.artifacts`.
    Artifacts(Arc<str>),
    /// `jobs` of `on.workflow_call.outputs`.
    Jobs,
    /// `matrix`.
    Matrix,
    /// `inputs`.
    Inputs,
    /// `secrets`.
    Secrets,
    /// `data`.
    Data,
    /// A context with fixed keys.
    Fixed(&'static str),
    /// A map the file wrote down.
    Plain,
}

impl Shape {
    /// Finds a key in any case.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, t)| t).or(self.rest.as_ref())
    }
}

impl Type {
    /// A map with exactly these keys.
    pub fn closed(kind: Kind, fields: Vec<(Arc<str>, Type)>) -> Self {
        Self::Object(Arc::new(Shape { kind, fields, rest: None }))
    }

    /// A map with these keys and perhaps others.
    pub fn open(kind: Kind, fields: Vec<(Arc<str>, Type)>, rest: Type) -> Self {
        Self::Object(Arc::new(Shape { kind, fields, rest: Some(rest) }))
    }

    /// A list.
    pub fn array(of: Type) -> Self {
        Self::Array(Arc::new(of))
    }

    /// The type of a known value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(items) => Self::array(Self::join_all(items.iter().map(Self::of))),
            Value::Object(object) => {
                Self::closed(Kind::Plain, object.iter().map(|(k, v)| (k.clone(), Self::of(v))).collect())
            }
        }
    }

    /// What is known of a value that is of one type or the other.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Array(a), Self::Array(b)) => {
                Self::array(Arc::unwrap_or_clone(a).join(Arc::unwrap_or_clone(b)))
            }
            (Self::Object(a), Self::Object(b)) => Self::Object(Arc::new(join_shapes(&a, &b))),
            _ => Self::Any,
        }
    }

    /// Joins many; nothing at all gives [`Type::Any`].
    pub fn join_all(types: impl IntoIterator<Item = Self>) -> Self {
        types.into_iter().reduce(Self::join).unwrap_or(Self::Any)
    }

    /// Tells whether it is a list or a map.
    pub fn is_compound(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// What people call it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "text",
            Self::Array(_) => "a list",
            Self::Object(_) => "a mapping",
        }
    }
}

fn join_shapes(a: &Shape, b: &Shape) -> Shape {
    let mut fields = a.fields.clone();
    for (name, kind) in &b.fields {
        match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, known)) => *known = known.clone().join(kind.clone()),
            None => fields.push((name.clone(), kind.clone())),
        }
    }
    let rest = match (&a.rest, &b.rest) {
        (None, None) => None,
        (Some(t), None) | (None, Some(t)) => Some(t.clone()),
        (Some(x), Some(y)) => Some(x.clone().join(y.clone())),
    };
    Shape { kind: Kind::Plain, fields, rest }
}
