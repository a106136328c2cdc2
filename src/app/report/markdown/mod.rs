//! A run as a Markdown summary: what `GITHUB_STEP_SUMMARY` pages and comments show.

mod summary;

pub use summary::summary;
