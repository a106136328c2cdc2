//! Which contexts and functions exist at a place, and what to say of one that does not.

use super::closest;
use super::functions::{self, Arity};

/// Which names an expression may use.
pub trait Names {
    /// Tells whether a context of this name (in any case) may be read here.
    fn has_context(&self, name: &str) -> bool;
    /// Tells whether a function of this name (in any case) may be called here; asked only for
    /// functions that are not legal everywhere.
    fn has_function(&self, name: &str) -> bool;
    /// Returns the most arguments of a function where a key allows fewer than elsewhere.
    fn most_arguments(&self, _: &str) -> Option<usize> {
        None
    }
    /// Returns the names of all contexts, for "did you mean".
    fn contexts(&self) -> Vec<String>;
}

/// Any context, every function.
pub struct AnyNames;

impl Names for AnyNames {
    fn has_context(&self, _: &str) -> bool {
        true
    }
    fn has_function(&self, _: &str) -> bool {
        true
    }
    fn contexts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Says that there is no such context.
pub(super) fn unknown_context(name: &str, names: &dyn Names) -> String {
    let contexts = names.contexts();
    let hint = closest(name, contexts.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("there is no context `{name}` here{hint}")
}

/// Says what is wrong with a call; `None` if nothing is.
pub(super) fn function_problem(name: &str, given: usize, names: &dyn Names) -> Option<String> {
    let known = functions::find(name);
    let Some(function) = known.filter(|f| f.everywhere || names.has_function(name)) else {
        let hint = match (known, closest(name, functions::names())) {
            (Some(_), _) => " here".to_owned(),
            (None, Some(near)) => format!("; did you mean `{near}`?"),
            (None, None) => String::new(),
        };
        return Some(format!("there is no function `{name}`{hint}"));
    };
    let Arity { least, most } = function.arity;
    let most = names.most_arguments(name).unwrap_or(most);
    if given < least || given > most {
        let wanted = match (least, most) {
            (a, usize::MAX) => format!("at least {a}"),
            (a, b) if a == b => a.to_string(),
            (a, b) => format!("{a} to {b}"),
        };
        let noun = if wanted == "1" { "argument" } else { "arguments" };
        return Some(format!("`{name}` takes {wanted} {noun}, not {given}"));
    }
    (function.name == "case" && given.is_multiple_of(2))
        .then(|| "`case` takes pairs of condition and value, and a default at the end".to_owned())
}
