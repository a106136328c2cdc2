//! Findings in workflow files as text, JSON, SARIF and GitHub annotations. Strings only.

mod file;
mod github;
mod json;
mod sarif;
mod text;

pub use file::{CheckedFile, Place, Totals};
pub use github::github;
pub use json::json;
pub use sarif::sarif;
pub use text::text;
