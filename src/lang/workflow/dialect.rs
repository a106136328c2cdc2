//! The two dialects of the language.

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Exactly what GitHub accepts, meaning what GitHub means: files under `.github/`.
    Github,
    /// GitHub's language with Tidegate's keys and departures: files under `.ml/`.
    Tidegate,
}
