//! The map of the expression language: insertion order, keys found in any case.

use super::Value;
use std::sync::Arc;

/// Maps names to values. Keeps the spelling and the order of insertion; finds a key in any case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    entries: Vec<(Arc<str>, Value)>,
}

impl Object {
    /// Returns the value of a key, in whatever case it is spelled.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v)
    }

    /// Sets a key; an existing one (in any case) keeps its place and spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        match self.entries.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(&key)) {
            Some((_, v)) => *v = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Returns keys and values in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
