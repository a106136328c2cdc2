//! The Python environments of jobs: built once, outside the work folder.

mod environment;
mod interpreter;
mod runner;

pub use environment::{Environment, Environments};
pub use interpreter::Interpreter;
pub use runner::{Call, FOREIGN, Ran, Runner};

/// Why there is no environment: one sentence, with the last lines of whoever failed.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// No interpreter fits.
    #[error("no Python {wanted}is on PATH{found}")]
    NoInterpreter {
        /// `3.11 `, or empty for any.
        wanted: String,
        /// What was found instead.
        found: String,
    },
    /// The requirements file cannot be read.
    #[error("python requirements {path}: {source}")]
    Requirements {
        /// As written.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something that was run failed.
    #[error("{doing} failed{hint}:\n{output}")]
    Failed {
        /// What was being done.
        doing: String,
        /// What may help; empty, or with a leading space.
        hint: String,
        /// Its last lines.
        output: String,
    },
    /// The attempt was told to stop meanwhile.
    #[error("stopped while the Python environment was made")]
    Stopped,
    /// The file system said no.
    #[error("the Python environment {path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}
