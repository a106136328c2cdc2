//! Files that patterns choose.

use crate::agent::copy::{At, copy_tree};
use crate::agent::fence::Fence;
use crate::agent::hash_files::matches;
use crate::agent::job::{Job, class_of};
use crate::agent::scope::Failed;
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

impl Job<'_> {
    /// Finds the files that patterns choose, and the folder they are counted from.
    pub(super) fn choose(
        &self,
        action: &str,
        patterns: &str,
        hidden: bool,
    ) -> Result<(Vec<PathBuf>, PathBuf), Failed> {
        let project = &self.place.project;
        let mut files: Vec<PathBuf> = Vec::new();
        let mut bases: Vec<PathBuf> = Vec::new();
        for written in patterns.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if let Some(not) = written.strip_prefix('!') {
                let not = project.join(not.trim_start_matches("./")).to_string_lossy().into_owned();
                files.retain(|f| !matches(&not, &f.to_string_lossy()));
                continue;
            }
            let pattern = expand_home(written, &self.base);
            let whole = project.join(pattern.trim_start_matches("./").trim_end_matches('/'));
            let text = whole.to_string_lossy().into_owned();
            let fixed = fixed_part(&whole);
            let mut found = Vec::new();
            let kind = self.fence.kind(&fixed);
            let kind = kind.map_err(|e| Failed::new(class_of(&e), format!("{action}: {written}: {e}")))?;
            let is_folder = kind == Some(FileType::Directory);
            if is_folder {
                self.fence.list(&fixed, &mut found);
            } else if kind.is_some() {
                found.push(fixed.clone());
            }
            let dotted = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
            // A file or folder that is named itself may be hidden, too.
            let own = fixed.file_name().is_some_and(dotted) && fixed != *project;
            let visible = |f: &PathBuf| {
                let below = f.strip_prefix(&fixed).unwrap_or(f);
                hidden || !(own || below.components().any(|c| dotted(c.as_os_str())))
            };
            found.retain(|f| {
                (text == fixed.to_string_lossy() || matches(&text, &f.to_string_lossy())) && visible(f)
            });
            // A path that matches nothing counts for the common folder, too, as in @actions/glob.
            let base = if is_folder { fixed } else { fixed.parent().unwrap_or(&fixed).to_owned() };
            bases.push(base);
            files.extend(found);
        }
        files.sort();
        files.dedup();
        let base = bases.into_iter().reduce(|a, b| common(&a, &b)).unwrap_or_else(|| project.clone());
        Ok((files, base))
    }

    /// Refuses paths of which the agent sees nothing: what an image has of its own is in its container only.
    pub(super) fn can_reach(&self, action: &str, patterns: &str) -> Result<(), Failed> {
        let written = patterns.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('!'));
        for written in written {
            let whole = self.place.project.join(expand_home(written, &self.base));
            if !self.fence.holds(&fixed_part(&whole)) {
                return Err(Failed::user(format!(
                    "{action}: `path: {written}` is {} in the image, and only its container sees that; only the work folder and RUNNER_TEMP are shared: let the program use a folder there, such as PIP_CACHE_DIR=$GITHUB_WORKSPACE/.cache/pip, or copy it there in a `run:` step",
                    whole.display()
                )));
            }
        }
        Ok(())
    }

    /// Copies what was fetched to a folder of the agent's own into place.
    pub(super) fn lay_down(&self, action: &str, name: &str, from: &Path, to: &Path) -> Result<(), Failed> {
        let own = Fence::default();
        copy_tree(At(&own, from), At(&self.fence, to))
            .map_err(|e| Failed::new(class_of(&e), format!("{action}: {name}: {e}")))
    }
}

/// The folders of a pattern before its first wildcard; a path without one is itself.
pub(super) fn fixed_part(pattern: &Path) -> PathBuf {
    let text = pattern.to_string_lossy();
    match text.find(['*', '?', '[']) {
        None => pattern.to_owned(),
        Some(at) => PathBuf::from(text.get(..at).and_then(|t| t.rsplit_once('/')).map_or("/", |(d, _)| d)),
    }
}

/// Puts the home folder of this environment in the place of a leading `~`.
pub(super) fn expand_home(path: &str, env: &BTreeMap<OsString, OsString>) -> String {
    match (path.strip_prefix('~'), env.get(OsStr::new("HOME"))) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.to_string_lossy())
        }
        _ => path.to_owned(),
    }
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect()
}
