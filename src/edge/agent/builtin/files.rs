//! Files that patterns choose, and their copies.

use crate::agent::hash_files::matches;
use crate::agent::job::Job;
use crate::agent::keep::list;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

impl Job<'_> {
    /// Finds the files that patterns choose, and the folder they are counted from.
    pub(super) fn choose(&self, patterns: &str, hidden: bool) -> (Vec<PathBuf>, PathBuf) {
        let project = &self.place.project;
        let mut files: Vec<PathBuf> = Vec::new();
        let mut bases: Vec<PathBuf> = Vec::new();
        for pattern in patterns.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if let Some(not) = pattern.strip_prefix('!') {
                let not = project.join(not.trim_start_matches("./")).to_string_lossy().into_owned();
                files.retain(|f| !matches(&not, &f.to_string_lossy()));
                continue;
            }
            let pattern = expand_home(pattern, &self.base);
            let whole = project.join(pattern.trim_start_matches("./").trim_end_matches('/'));
            let text = whole.to_string_lossy().into_owned();
            let fixed = fixed_part(&whole);
            let mut found = Vec::new();
            if fixed.is_dir() {
                list(&fixed, &mut found);
            } else if fixed.exists() {
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
            let base = if fixed.is_dir() { fixed } else { fixed.parent().unwrap_or(&fixed).to_owned() };
            bases.push(base);
            files.extend(found);
        }
        files.sort();
        files.dedup();
        let base = bases.into_iter().reduce(|a, b| common(&a, &b)).unwrap_or_else(|| project.clone());
        (files, base)
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

/// Copies a file, or what a link says, over whatever is there.
pub(super) fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if let Ok(there) = std::fs::symlink_metadata(to)
        && !there.is_dir()
    {
        std::fs::remove_file(to)?;
    }
    if from.is_symlink() && !from.is_file() {
        return std::os::unix::fs::symlink(std::fs::read_link(from)?, to);
    }
    std::fs::copy(from, to).map(drop)
}

/// Copies a file or a folder into place, keeping what is there beside it. A target inside of the
/// source is left out of the copy.
pub(super) fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return copy_file(from, to);
    }
    std::fs::create_dir_all(to)?;
    let mut files = Vec::new();
    list(from, &mut files);
    for file in files.iter().filter(|f| !f.starts_with(to)) {
        copy_file(file, &to.join(file.strip_prefix(from).unwrap_or(file)))?;
    }
    Ok(())
}
