//! What expressions of the engine may read: contexts by name and what the status functions say.
//!
//! Not here: how a context comes about (`needs`, `call`), what is evaluated with it.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tidegate_lang::expr::{Host, Status};
use tidegate_lang::value::Value;

/// Answers `hashFiles`: the patterns give a digest, or a reason why not.
pub type FileHasher = Arc<dyn Fn(&[String]) -> Result<String, String> + Send + Sync>;

/// The surroundings of the keys that the engine evaluates. Cloning is cheap: values are shared.
#[derive(Clone, Default)]
pub struct Contexts {
    values: BTreeMap<Arc<str>, Value>,
    status: Option<Status>,
    files: Option<FileHasher>,
}

impl Contexts {
    /// Makes surroundings without any context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes contexts from their stored form, such as `RunCreated.contexts`.
    pub fn from_json(contexts: &BTreeMap<String, Json>) -> Self {
        let mut made = Self::new();
        for (name, value) in contexts {
            made.set(name, Value::from(value));
        }
        made
    }

    /// Sets a context; names are compared without case.
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_ascii_lowercase().into(), value);
    }

    /// Sets a context and returns the whole.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.set(name, value);
        self
    }

    /// Makes the status functions legal and says what they answer.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Makes the status functions illegal again.
    #[must_use]
    pub fn without_status(mut self) -> Self {
        self.status = None;
        self
    }

    /// Says who answers `hashFiles`.
    #[must_use]
    pub fn with_files(mut self, files: FileHasher) -> Self {
        self.files = Some(files);
        self
    }

    /// Returns a context.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).or_else(|| self.values.get(name.to_ascii_lowercase().as_str()))
    }

    /// Returns all contexts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// Returns the stored form.
    pub fn to_json(&self) -> BTreeMap<String, Json> {
        self.values.iter().map(|(name, value)| (name.to_string(), Json::from(value))).collect()
    }
}

impl Host for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        match &self.files {
            Some(files) => files(patterns),
            None => Err("hashFiles is not available here".to_owned()),
        }
    }

    fn status(&self) -> Option<Status> {
        self.status
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts")
            .field("values", &self.values)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
