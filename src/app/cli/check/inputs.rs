//! Which files are meant: files, folders, or the project's workflows.

use crate::app::cli::{Failure, Globals};
use crate::app::config::{Project, workflow_files};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// One file to check.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a person named it; otherwise it was found in a folder, and may not lead out of it.
    pub named: bool,
}

/// Finds all files that the arguments mean, each once, in the order of the arguments.
pub(super) fn collect(paths: &[PathBuf], globals: &Globals) -> Result<Vec<Input>, Failure> {
    if paths.is_empty() {
        return of_project(globals);
    }
    let mut inputs: Vec<Input> = Vec::new();
    let mut seen: HashSet<PathBuf> = HashSet::new();
    for path in paths {
        let found = match std::fs::metadata(path) {
            Ok(kind) if kind.is_dir() => of_folder(path)?,
            Ok(_) => vec![Input { path: path.clone(), named: true }],
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let link = std::fs::symlink_metadata(path).is_ok();
                let what = if link { "is a link to nothing" } else { "does not exist" };
                return Err(Failure::wrong(format!("`{}` {what}", shown(path)))
                    .hint("`tidegate check` without a path checks all of .ml/workflows"));
            }
            Err(error) => {
                return Err(Failure::wrong(format!("cannot look at `{}`", shown(path))).caused_by(&error));
            }
        };
        inputs.extend(found.into_iter().filter(|input| seen.insert(input.path.clone())));
    }
    Ok(inputs)
}

fn of_project(globals: &Globals) -> Result<Vec<Input>, Failure> {
    let project = Project::find(Path::new("."), globals.store.as_deref())
        .map_err(|e| Failure::wrong("cannot find the project").caused_by(&e))?;
    let folder = project.root.join(".ml/workflows");
    let files = listed(&folder)?;
    if !files.is_empty() {
        return Ok(files);
    }
    let what = if folder.is_dir() { "has no workflow files" } else { "does not exist" };
    let failure = Failure::wrong(format!("`{}` {what}", shown(&from_here(&folder))));
    let github = listed(&project.root.join(".github/workflows"))?;
    Err(if github.is_empty() {
        failure.hint("`tidegate init` writes a first workflow")
    } else {
        failure.hint("`tidegate check .github/workflows` checks GitHub's workflows of this repository")
    })
}

/// The workflow files of a folder; for a project's folder, those below its `.ml` and `.github`.
fn of_folder(folder: &Path) -> Result<Vec<Input>, Failure> {
    let mut files = listed(folder)?;
    for inner in ["workflows", ".ml/workflows", ".github/workflows"] {
        files.extend(listed(&folder.join(inner))?);
    }
    if files.is_empty() {
        return Err(Failure::wrong(format!("no workflow files (*.yml, *.yaml) in `{}`", shown(folder))));
    }
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<Input>, Failure> {
    let files = workflow_files(folder)
        .map_err(|e| Failure::wrong(format!("cannot list `{}`", shown(folder))).caused_by(&e))?;
    let here = std::env::current_dir().unwrap_or_default();
    Ok(files.into_iter().map(|path| Input { path: seen_from(&here, &path), named: false }).collect())
}

/// A path as seen from the working directory, where it lies below it.
fn from_here(path: &Path) -> PathBuf {
    seen_from(&std::env::current_dir().unwrap_or_default(), path)
}

fn seen_from(here: &Path, path: &Path) -> PathBuf {
    let short = path.strip_prefix(here).or_else(|_| path.strip_prefix("."));
    short.unwrap_or(path).to_owned()
}

/// A path as people can read it on one line: what is not text or not visible is escaped.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;
    use std::path::Path;

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(shown(Path::new("a b.yml")), "a b.yml");
        assert_eq!(shown(Path::new("a\nb.yml")), "a\\nb.yml");
    }
}
