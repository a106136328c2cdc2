//! Dynamic values and GitHub's coercions between them.
//!
//! Source of the rules: GitHub's documentation, "Evaluate expressions in workflows and actions".

mod coerce;
mod compare;
mod json;
mod json_text;
mod number;
mod object;

pub use compare::folded;
pub use number::{is_space, number_text, parse_number};
pub use object::Object;

use std::sync::Arc;

/// What an expression gives. Cloning is cheap: the large shapes are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A double, as at GitHub.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    Array(Arc<Vec<Value>>),
    /// A map in insertion order whose keys are found in any case.
    Object(Arc<Object>),
}
