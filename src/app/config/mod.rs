//! Where things are: the project's folder, its workflow files, its store, its settings.
//!
//! Not here: what the files say (`tidegate-lang`), options of one command (`cli`).

mod files;
mod project;
mod settings;

pub use files::{Choice, choose, dialect_of, workflow_files};
pub use project::Project;
pub use settings::{ConfigError, EnvironmentSettings, KubernetesSettings, Settings};
