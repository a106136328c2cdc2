//! The map of the expression language: insertion order, keys found in any case.

use super::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// From this size on keys are found through an index; below it a scan is faster.
const INDEXED: usize = 16;

/// Maps names to values. Keeps the spelling and the order of insertion; finds a key in any case.
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: Vec<(Arc<str>, Value)>,
    /// Lower-case key → place; empty below [`INDEXED`] entries.
    index: HashMap<String, usize>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Object {
    /// Returns the value of a key, in whatever case it is spelled.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).and_then(|i| self.entries.get(i)).map(|(_, v)| v)
    }

    /// Returns a key as it was first spelled.
    pub fn spelling(&self, key: &str) -> Option<&Arc<str>> {
        self.place(key).and_then(|i| self.entries.get(i)).map(|(k, _)| k)
    }

    /// Sets a key; an existing one (in any case) keeps its place and spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        if let Some((_, old)) = self.place(&key).and_then(|i| self.entries.get_mut(i)) {
            *old = value;
            return;
        }
        self.entries.push((key, value));
        if self.entries.len() == INDEXED {
            self.index = self.entries.iter().enumerate().map(|(i, (k, _))| (k.to_lowercase(), i)).collect();
        } else if self.entries.len() > INDEXED
            && let Some((last, _)) = self.entries.last()
        {
            self.index.insert(last.to_lowercase(), self.entries.len() - 1);
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.entries.len() < INDEXED {
            let same = |k: &str| match (k.is_ascii(), key.is_ascii()) {
                (true, true) => k.eq_ignore_ascii_case(key),
                // The Kelvin sign is the one letter whose lower case is ASCII.
                _ => k.to_lowercase() == key.to_lowercase(),
            };
            return self.entries.iter().position(|(k, _)| same(k));
        }
        self.index.get(&key.to_lowercase()).copied()
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

impl FromIterator<(Arc<str>, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(entries: I) -> Self {
        let mut object = Self::default();
        for (key, value) in entries {
            object.insert(key, value);
        }
        object
    }
}
