//! Workflow files: which there are, which one is meant, how it is read.

use super::{ConfigError, Project};
use std::path::{Path, PathBuf};
use tidegate_lang::workflow::Dialect;

/// Which file `run` without an argument means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The only one.
    One(PathBuf),
    /// There is none.
    None,
    /// There are several, sorted.
    Several(Vec<PathBuf>),
}

/// Lists the workflow files of a folder, sorted by name; a folder that does not exist has none.
pub fn workflow_files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let read = |source| ConfigError::Read { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(read(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "yml" || e == "yaml")
            && (path.is_file() || path.is_symlink())
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Chooses the project's only workflow: in `.ml/workflows`, or without that in `.github/workflows`.
pub fn choose(project: &Project) -> Result<Choice, ConfigError> {
    let own = workflow_files(&project.root.join(".ml/workflows"))?;
    let mut files =
        if own.is_empty() { workflow_files(&project.root.join(".github/workflows"))? } else { own };
    Ok(match files.len() {
        0 => Choice::None,
        1 => files.pop().map_or(Choice::None, Choice::One),
        _ => Choice::Several(files),
    })
}

/// Returns how a file is read unless the command says otherwise: files under `.github` as GitHub
/// reads them.
pub fn dialect_of(path: &Path) -> Dialect {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // The nearest of the two names decides, so that a project inside `.github` stays possible.
    let nearest = absolute.ancestors().find_map(|a| match a.file_name()?.to_str()? {
        ".github" => Some(Dialect::Github),
        ".ml" => Some(Dialect::Tidegate),
        _ => None,
    });
    nearest.unwrap_or(Dialect::Tidegate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_gives_the_dialect() {
        assert_eq!(dialect_of(Path::new("/x/.github/workflows/a.yml")), Dialect::Github);
        assert_eq!(dialect_of(Path::new("/x/.ml/workflows/a.yml")), Dialect::Tidegate);
        assert_eq!(dialect_of(Path::new("/x/a.yml")), Dialect::Tidegate);
    }

    #[test]
    fn several_files_are_a_question() {
        let folder = tempfile::tempdir().unwrap();
        let workflows = folder.path().join(".ml/workflows");
        std::fs::create_dir_all(&workflows).unwrap();
        let project = Project::find(folder.path(), None).unwrap();
        assert_eq!(choose(&project).unwrap(), Choice::None);
        std::fs::write(workflows.join("b.yml"), "").unwrap();
        std::fs::write(workflows.join("notes.md"), "").unwrap();
        assert_eq!(choose(&project).unwrap(), Choice::One(workflows.join("b.yml")));
        std::fs::write(workflows.join("a.yaml"), "").unwrap();
        assert!(matches!(choose(&project).unwrap(), Choice::Several(f) if f.len() == 2));
    }
}
