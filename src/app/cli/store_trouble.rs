//! What people read when the store says no: what happened, and what they can do.

use super::Failure;
use std::io::ErrorKind;
use tidegate_edge::store::StoreError;

/// Words an error of the store; `doing` says what was tried.
pub(super) fn store_trouble(doing: &str, error: &StoreError) -> Failure {
    let elsewhere = "`--store DIR` keeps it elsewhere, `store:` in .ml/config.yaml does so for good";
    match error {
        StoreError::NoSuchRun(name) => {
            Failure::wrong(format!("there is no run {name}")).hint("`tidegate runs list` shows all")
        }
        StoreError::Ambiguous(_) => Failure::wrong(error.to_string()),
        StoreError::Owned { number, pid } => Failure::tool(format!(
            "run {number} belongs to process {pid}, which is alive"
        ))
        .hint(format!("`tidegate runs watch {number}` shows it, `tidegate runs cancel {number}` ends it")),
        StoreError::TakenOver(number) => Failure::tool(doing)
            .caused_by(error)
            .hint(format!("`tidegate runs watch {number}` shows what its new owner does")),
        StoreError::Full(_) => Failure::tool(doing)
            .caused_by(error)
            .hint("make some room; nothing that was recorded is lost")
            .hint("`tidegate runs list` shows the run, `tidegate run --resume RUN` goes on with it"),
        StoreError::Newer { .. } => Failure::tool(doing)
            .caused_by(error)
            .hint("a newer tidegate wrote it: use that one; nothing was changed")
            .hint(elsewhere),
        StoreError::Corrupt { path, .. } => Failure::tool(doing)
            .caused_by(error)
            .hint(format!("`sqlite3 {path} .recover` saves what can be read; moved away, a new one is made"))
            .hint("what is below objects/ is not touched by this"),
        StoreError::Io { source, .. }
            if matches!(
                source.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotADirectory
                    | ErrorKind::AlreadyExists
            ) =>
        {
            Failure::tool(doing)
                .caused_by(error)
                .hint("the store is a folder that you may write to")
                .hint(elsewhere)
        }
        StoreError::Log(_) => Failure::tool(doing)
            .caused_by(error)
            .hint("is the disk full or failing? What was recorded is not lost")
            .hint("`tidegate runs list` shows the run, `tidegate run --resume RUN` goes on with it"),
        StoreError::Io { .. }
        | StoreError::Decode { .. }
        | StoreError::Missing(_)
        | StoreError::Damaged(_)
        | StoreError::Path { .. } => Failure::tool(doing).caused_by(error),
    }
}
