//! Which contexts and functions a key may use: data in `schema/contexts.json`, read once.

use super::Dialect;
use crate::expr::Names;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::OnceLock;

/// What is legal in the expressions of one key.
#[derive(Debug, Default, Deserialize)]
pub struct Allowed {
    /// The key's path without ids, such as `jobs.steps.run`.
    pub key: String,
    /// When it is evaluated: `run`, `job`, `instance`, `agent`, `step`, `agent-end`, `call-end`.
    pub stage: String,
    /// Contexts.
    pub contexts: Vec<String>,
    /// Functions beyond those that are legal everywhere; `name(N)` takes at most N arguments here.
    pub functions: Vec<String>,
    /// Contexts that Tidegate's dialect adds.
    #[serde(default)]
    pub tidegate: Vec<String>,
    /// Functions that Tidegate's dialect adds.
    #[serde(default, rename = "tidegate-functions")]
    pub tidegate_functions: Vec<String>,
}

#[derive(Deserialize)]
struct Table {
    keys: Vec<Allowed>,
}

/// Returns the row of a key; one that allows nothing for a key without expressions.
pub fn availability(key: &str) -> &'static Allowed {
    static TABLE: OnceLock<HashMap<String, Allowed>> = OnceLock::new();
    static NOTHING: OnceLock<Allowed> = OnceLock::new();
    TABLE
        .get_or_init(|| {
            // A test holds that the file can be read.
            let table: Table = serde_json::from_str(include_str!("../../../schema/contexts.json"))
                .unwrap_or_else(|_| Table { keys: Vec::new() });
            table.keys.into_iter().map(|row| (row.key.clone(), row)).collect()
        })
        .get(key)
        .unwrap_or_else(|| NOTHING.get_or_init(Allowed::default))
}

impl Allowed {
    /// Returns the names for one dialect.
    pub fn names(&'static self, dialect: Dialect) -> AllowedNames {
        AllowedNames { allowed: self, dialect }
    }
}

/// The names of a key in a dialect.
#[derive(Clone, Copy)]
pub struct AllowedNames {
    allowed: &'static Allowed,
    dialect: Dialect,
}

impl AllowedNames {
    /// Tells whether no expression is legal at all.
    pub fn is_empty(&self) -> bool {
        self.allowed.contexts.is_empty()
    }
}

impl Names for AllowedNames {
    fn has_context(&self, name: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|c| c.eq_ignore_ascii_case(name));
        has(&self.allowed.contexts) || (self.dialect == Dialect::Tidegate && has(&self.allowed.tidegate))
    }

    fn has_function(&self, name: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|f| word(f).eq_ignore_ascii_case(name));
        has(&self.allowed.functions)
            || (self.dialect == Dialect::Tidegate && has(&self.allowed.tidegate_functions))
    }

    fn most_arguments(&self, name: &str) -> Option<usize> {
        let function = self.allowed.functions.iter().find(|f| word(f).eq_ignore_ascii_case(name))?;
        function.split_once('(')?.1.strip_suffix(')')?.parse().ok()
    }

    fn contexts(&self) -> Vec<String> {
        let more: &[String] = if self.dialect == Dialect::Tidegate { &self.allowed.tidegate } else { &[] };
        self.allowed.contexts.iter().chain(more).cloned().collect()
    }
}

/// Returns a function's name, without how many arguments it takes.
fn word(function: &str) -> &str {
    function.split('(').next().unwrap_or(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        assert!(availability("jobs.if").contexts.contains(&"needs".to_owned()));
        assert!(availability("jobs.steps.run").functions.contains(&"hashFiles".to_owned()));
        assert!(availability("jobs.if").names(Dialect::Tidegate).has_context("data"));
        assert!(!availability("jobs.if").names(Dialect::Github).has_context("data"));
        for (key, most) in [("jobs.if", None), ("jobs.steps.if", Some(0)), ("action.steps.if", Some(0))] {
            assert!(availability(key).names(Dialect::Github).has_function("Success"));
            assert_eq!(availability(key).names(Dialect::Github).most_arguments("success"), most, "{key}");
        }
    }
}
