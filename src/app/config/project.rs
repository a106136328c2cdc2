//! The project: the nearest folder upward that holds `.ml`.

use super::{ConfigError, Settings};
use std::path::{Path, PathBuf};

/// Where a command works.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// The project's folder, absolute.
    pub root: PathBuf,
    /// Whether the folder holds `.ml`; otherwise it only stands in for a project.
    pub declared: bool,
    /// `.ml/config.yaml`.
    pub settings: Settings,
    /// Folder of the store, absolute; may not exist yet.
    pub store: PathBuf,
}

impl Project {
    /// Finds the project of a folder: the nearest one upward that holds `.ml`; else the nearest
    /// that holds `.github` or `.git`; else the folder itself.
    pub fn find(from: &Path, store: Option<&Path>) -> Result<Self, ConfigError> {
        let from = std::path::absolute(from)
            .map_err(|source| ConfigError::Read { path: from.to_owned(), source })?;
        let nearest = |name: &str| from.ancestors().find(|a| a.join(name).exists());
        let declared = from.ancestors().find(|a| a.join(".ml").is_dir());
        let root = declared.or_else(|| nearest(".github")).or_else(|| nearest(".git")).unwrap_or(&from);
        let settings = if declared.is_some() { Settings::read(root)? } else { Settings::default() };
        let store = match (store, &settings.store) {
            (Some(asked), _) => std::path::absolute(asked)
                .map_err(|source| ConfigError::Read { path: asked.to_owned(), source })?,
            (None, Some(set)) => root.join(set),
            (None, None) => root.join(".tidegate"),
        };
        Ok(Self { root: root.to_owned(), declared: declared.is_some(), settings, store })
    }

    /// Finds the project that a workflow file belongs to: the folder above its `.ml` or `.github`,
    /// else that of the folder it lies in.
    pub fn of_file(file: &Path, store: Option<&Path>) -> Result<Self, ConfigError> {
        let absolute = std::path::absolute(file)
            .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        let dotted = absolute
            .ancestors()
            .find(|a| a.file_name().is_some_and(|n| n == ".ml" || n == ".github"))
            .and_then(Path::parent);
        let folder = dotted.or_else(|| absolute.parent()).unwrap_or(&absolute);
        Self::find(folder, store)
    }

    /// Returns a path as the project names it: from its folder where it lies below, with `/`.
    pub fn relative(&self, path: &Path) -> String {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute.strip_prefix(&self.root).unwrap_or(&absolute).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_with_ml_wins() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("team/model/src");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::create_dir_all(folder.path().join(".git")).unwrap();
        assert_eq!(Project::find(&inner, None).unwrap().root, folder.path());
        std::fs::create_dir_all(folder.path().join("team/model/.ml")).unwrap();
        let project = Project::find(&inner, None).unwrap();
        assert_eq!(project.root, folder.path().join("team/model"));
        assert!(project.declared);
        assert_eq!(project.store, folder.path().join("team/model/.tidegate"));
        let file = folder.path().join(".github/workflows/ci.yml");
        assert_eq!(Project::of_file(&file, None).unwrap().root, folder.path());
    }
}
