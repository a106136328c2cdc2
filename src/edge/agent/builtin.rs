//! Actions that are built in: checkout, upload-artifact, download-artifact, cache.

use super::hash_files::matches;
use super::job::{Job, class_of};
use super::keep::{list, within};
use super::place::file_name;
use super::scope::{Failed, Scope};
use std::path::{Path, PathBuf};
use tidegate_flow::job::{Answer, ArtifactRef, Question};

/// What is left to do after the steps.
#[derive(Clone, Debug)]
pub enum Post {
    /// `actions/cache`: keep these paths under this key.
    SaveCache {
        /// The key.
        key: String,
        /// Patterns as written, a line each.
        paths: String,
    },
}

/// The inputs of each action: those that do something, those that cannot, and why.
type ActionInputs = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);
const CACHE: &[&str] = &["path", "key", "restore-keys", "fail-on-cache-miss", "lookup-only"];
const CACHE_IDLE: &[&str] = &["upload-chunk-size", "enableCrossOsArchive", "save-always"];
const INPUTS: &[ActionInputs] = &[
    (
        "actions/checkout",
        &["repository", "ref", "path"],
        &[
            "token",
            "ssh-key",
            "ssh-known-hosts",
            "ssh-strict",
            "ssh-user",
            "persist-credentials",
            "clean",
            "filter",
            "sparse-checkout",
            "sparse-checkout-cone-mode",
            "fetch-depth",
            "fetch-tags",
            "show-progress",
            "lfs",
            "submodules",
            "set-safe-directory",
            "github-server-url",
        ],
        "the tree is there already, as it lies in the working copy, without history and submodules",
    ),
    (
        "actions/upload-artifact",
        &["name", "path", "if-no-files-found", "overwrite", "include-hidden-files"],
        &["retention-days", "compression-level", "archive"],
        "artifacts are kept in the store as they are",
    ),
    (
        "actions/download-artifact",
        &["name", "path", "pattern", "merge-multiple", "artifact-ids", "run-id"],
        &["github-token", "repository", "skip-decompress"],
        "artifacts come from this run",
    ),
    ("actions/cache", CACHE, CACHE_IDLE, "caches are kept in the store as they are"),
    ("actions/cache/restore", CACHE, CACHE_IDLE, "caches are kept in the store as they are"),
    ("actions/cache/save", &["path", "key"], CACHE_IDLE, "caches are kept in the store as they are"),
];

type Outputs = Vec<(String, String)>;
type Inputs = [(String, String)];

fn input<'a>(inputs: &'a Inputs, name: &str) -> &'a str {
    inputs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.trim())
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl Job<'_> {
    /// Runs a built-in action; `None` if the name is none of them.
    pub(super) fn run_builtin(
        &mut self,
        scope: &Scope,
        uses: &str,
        inputs: &Inputs,
    ) -> Option<Result<Outputs, Failed>> {
        let name = uses.split('@').next().unwrap_or_default().to_ascii_lowercase();
        self.look_at_inputs(&name, inputs);
        Some(match name.as_str() {
            "actions/checkout" => self.checkout(inputs),
            "actions/upload-artifact" => self.upload(inputs),
            "actions/download-artifact" => self.download(scope, inputs),
            "actions/cache" => self.cache(inputs, true),
            "actions/cache/restore" => self.cache(inputs, false),
            "actions/cache/save" => {
                let (key, paths) = (input(inputs, "key").to_owned(), input(inputs, "path").to_owned());
                self.save_cache(&key, &paths).map(|()| Vec::new())
            }
            _ => return None,
        })
    }

    /// Says which inputs do nothing: unknown ones, and those that make no sense here.
    fn look_at_inputs(&mut self, action: &str, inputs: &Inputs) {
        let Some((_, used, idle, why)) = INPUTS.iter().find(|(name, ..)| *name == action) else { return };
        for (given, value) in inputs.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let is = |known: &&str| given.eq_ignore_ascii_case(known);
            if idle.iter().any(is) {
                let usual = value.trim() == "false" || (*given == "fetch-depth" && value.trim() == "1");
                if !usual {
                    self.output.note(&format!("{action}: `{given}` has no effect here: {why}"));
                }
            } else if !used.iter().any(is) {
                let valid = used.iter().chain(*idle).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
                let text = format!("Unexpected input(s) '{given}', valid inputs are [{valid}]");
                self.output.issue("warning", &text);
            }
        }
    }

    /// Refuses a name that would be stored although it holds a secret.
    fn not_secret(&self, action: &str, what: &str, name: &str) -> Result<(), Failed> {
        if self.output.masks.finds(name) {
            return Err(Failed::user(format!("{action}: the {what} holds a secret, and it would be stored")));
        }
        Ok(())
    }

    /// The tree is there already; another place in it gets a copy.
    fn checkout(&mut self, inputs: &Inputs) -> Result<Outputs, Failed> {
        let repository = input(inputs, "repository");
        let github = self.github();
        let text = |name: &str| github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
        if !repository.is_empty() && repository != text("repository") {
            return Err(Failed::user(format!(
                "actions/checkout: only this repository's tree is here, not {repository}; clone it in a `run:` step"
            )));
        }
        let commit = self.spec.source.commit.clone();
        let reference = input(inputs, "ref");
        let same = ["", "HEAD", commit.as_str()].contains(&reference)
            || reference == text("ref")
            || reference == text("ref_name")
            || reference == text("head_ref");
        if !same {
            return Err(Failed::user(format!(
                "actions/checkout: the work folder holds the tree of {commit}; `ref: {reference}` is another one; start the run on that ref"
            )));
        }
        let path = input(inputs, "path");
        if !path.is_empty() && path != "." {
            let to = self.place.project.join(path);
            if !within(&self.place.root, &to) {
                return Err(Failed::user(format!(
                    "actions/checkout: `path: {path}` lies outside of the work folder"
                )));
            }
            let from = self.place.root.clone();
            copy_tree(&from, &to)
                .map_err(|e| Failed::new(class_of(&e), format!("actions/checkout: {path}: {e}")))?;
        }
        let dirty = if self.spec.source.dirty { " with the changes of the working copy" } else { "" };
        self.output
            .note(&format!("the tree of {commit}{dirty} is in the work folder already; nothing to fetch"));
        Ok(vec![pair("ref", text("ref")), pair("commit", commit)])
    }

    fn upload(&mut self, inputs: &Inputs) -> Result<Outputs, Failed> {
        let name = match input(inputs, "name") {
            "" => "artifact",
            name => name,
        };
        self.not_secret("upload-artifact", "artifact's name", name)?;
        if let Some(wrong) = name.chars().find(|c| "\":<>|*?\r\n\\/".contains(*c)) {
            return Err(Failed::user(format!(
                "upload-artifact: the artifact name `{name}` is not valid: it contains {wrong:?}"
            )));
        }
        let overwrite = input(inputs, "overwrite") == "true";
        if self.uploads.contains_key(name) && !overwrite {
            return Err(Failed::user(format!(
                "upload-artifact: an artifact `{name}` exists already; set `overwrite: true`, or use another name"
            )));
        }
        let hidden = input(inputs, "include-hidden-files") == "true";
        let paths = input(inputs, "path");
        if paths.is_empty() {
            return Err(Failed::user("upload-artifact: `path` is missing"));
        }
        let staged = self.temp.join("uploads").join(file_name(name));
        let count = self.gather(paths, hidden, &staged)?;
        if count == 0 {
            let text = format!(
                "No files were found with the provided path: {}. No artifacts will be uploaded.",
                paths.replace('\n', ", ")
            );
            return match input(inputs, "if-no-files-found") {
                "error" => Err(Failed::user(text)),
                "ignore" => Ok(Vec::new()),
                _ => {
                    self.output.note(&format!("##[warning]{text}"));
                    Ok(Vec::new())
                }
            };
        }
        let artifact = self.put(&staged, name)?;
        self.output.note(&format!("kept {count} files as artifact `{name}`"));
        let digest = artifact.digest.clone();
        self.uploads.insert(name.to_owned(), artifact);
        Ok(vec![pair("artifact-id", digest.clone()), pair("artifact-digest", digest)])
    }

    /// Copies what the patterns choose below their least common folder, as upload-artifact does.
    fn gather(&self, patterns: &str, hidden: bool, to: &Path) -> Result<usize, Failed> {
        let (files, base) = self.choose(patterns, hidden);
        for file in &files {
            let target = to.join(file.strip_prefix(&base).unwrap_or(file));
            copy_file(file, &target)
                .map_err(|e| Failed::new(class_of(&e), format!("cannot take {}: {e}", file.display())))?;
        }
        Ok(files.len())
    }

    /// Finds the files that patterns choose, and the folder they are counted from.
    fn choose(&self, patterns: &str, hidden: bool) -> (Vec<PathBuf>, PathBuf) {
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
            let dotted = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
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

    fn download(&mut self, scope: &Scope, inputs: &Inputs) -> Result<Outputs, Failed> {
        let _ = scope;
        let mut all = match self.link.ask(Question::Uploads) {
            Some(Answer::Uploads(all)) => all,
            Some(Answer::Unavailable(reason)) => {
                return Err(Failed::user(format!("download-artifact: {reason}")));
            }
            Some(Answer::Baseline(_) | Answer::Death { .. } | Answer::Nodes) => {
                return Err(Failed::user("download-artifact: the engine answered something else"));
            }
            None => return Err(Failed::user("cancelled while the artifacts were asked for")),
        };
        all.extend(self.uploads.clone());
        let other_run = input(inputs, "run-id");
        if !other_run.is_empty() && other_run != self.spec.run {
            return Err(Failed::user(
                "download-artifact: artifacts of other runs are not there; use `consumes`, or take `run-id` away",
            ));
        }
        let ids: Vec<&str> = input(inputs, "artifact-ids").split(',').map(str::trim).collect();
        if ids != [""] {
            all.retain(|_, artifact| ids.contains(&artifact.digest.as_str()));
        }
        let name = input(inputs, "name");
        let folder = match input(inputs, "path") {
            "" => self.place.project.clone(),
            path => self.place.project.join(expand_home(path, &self.base)),
        };
        if name.is_empty() {
            let pattern = match input(inputs, "pattern") {
                "" => "*",
                pattern => pattern,
            };
            let merge = input(inputs, "merge-multiple") == "true";
            for (name, artifact) in all.iter().filter(|(n, _)| matches(pattern, n)) {
                let to = if merge { folder.clone() } else { folder.join(name) };
                self.lay_out(artifact, name, &to)?;
            }
        } else {
            let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let artifact = all.get(name).ok_or_else(|| {
                Failed::user(format!(
                    "download-artifact: there is no artifact `{name}` in this run; there are: {known}"
                ))
            })?;
            self.lay_out(artifact, name, &folder)?;
        }
        Ok(vec![pair("download-path", folder.to_string_lossy())])
    }

    fn lay_out(&mut self, artifact: &ArtifactRef, name: &str, to: &Path) -> Result<(), Failed> {
        let staged = self.temp.join("downloads").join(file_name(name));
        self.fetch(artifact, &staged)?;
        copy_tree(&staged, to)
            .map_err(|e| Failed::new(class_of(&e), format!("download-artifact: {name}: {e}")))?;
        self.output.note(&format!("laid out artifact `{name}` in {}", to.display()));
        Ok(())
    }

    fn cache_folder(&self) -> PathBuf {
        super::saved::folder(&self.around.store)
    }

    fn cache(&mut self, inputs: &Inputs, save: bool) -> Result<Outputs, Failed> {
        let key = input(inputs, "key").to_owned();
        let paths = input(inputs, "path").to_owned();
        if key.is_empty() || paths.is_empty() {
            return Err(Failed::user("actions/cache: `key` and `path` are needed"));
        }
        self.not_secret("actions/cache", "key", &key)?;
        let look_only = input(inputs, "lookup-only") == "true";
        let restore_keys = input(inputs, "restore-keys");
        let found = self.find_cache(&key, &paths, restore_keys).filter(|(name, artifact)| {
            let whole = self.around.objects.claim(artifact).unwrap_or(false);
            whole && super::saved::used(&self.cache_folder().join(super::saved::entry_name(name, &paths)))
        });
        let hit = found.as_ref().is_some_and(|(k, _)| *k == key);
        match &found {
            Some((name, _)) if look_only => {
                self.output.note(&format!("Cache found and can be restored from key: {name}"));
            }
            Some((name, artifact)) => {
                let staged = self.temp.join("cache").join(file_name(name));
                self.fetch(artifact, &staged)?;
                for (index, line) in cached_lines(&paths) {
                    let from = staged.join(index.to_string());
                    let to = fixed_part(&self.place.project.join(expand_home(line, &self.base)));
                    if from.exists() {
                        copy_tree(&from, &to)
                            .map_err(|e| Failed::new(class_of(&e), format!("actions/cache: {line}: {e}")))?;
                    }
                }
                self.output.note(&format!("Cache restored from key: {name}"));
            }
            None if input(inputs, "fail-on-cache-miss") == "true" => {
                return Err(Failed::user(format!(
                    "Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {key}"
                )));
            }
            None => self.output.note(&format!("Cache not found for input keys: {key}")),
        }
        if save && !hit {
            self.post.push(Post::SaveCache { key: key.clone(), paths });
        }
        let mut outputs = vec![pair("cache-primary-key", key)];
        if let Some((name, _)) = found {
            outputs.push(pair("cache-hit", if hit { "true" } else { "false" }));
            outputs.push(pair("cache-matched-key", name));
        } else {
            outputs.push(pair("cache-hit", ""));
        }
        Ok(outputs)
    }

    /// The exact key, else the newest entry that starts with one of the restore keys, in their order.
    fn find_cache(&self, key: &str, paths: &str, restore_keys: &str) -> Option<(String, ArtifactRef)> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.cache_folder()).ok()?.filter_map(Result::ok) {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let Ok((name, of, at, artifact)) =
                serde_json::from_slice::<(String, String, i64, ArtifactRef)>(&bytes)
            else {
                continue;
            };
            if of == paths {
                entries.push((name, at, artifact));
            }
        }
        if let Some((name, _, artifact)) = entries.iter().find(|(name, ..)| name == key) {
            return Some((name.clone(), artifact.clone()));
        }
        let prefixes =
            std::iter::once(key).chain(restore_keys.lines().map(str::trim).filter(|l| !l.is_empty()));
        for prefix in prefixes {
            let newest =
                entries.iter().filter(|(name, ..)| name.starts_with(prefix)).max_by_key(|(_, at, _)| *at);
            if let Some((name, _, artifact)) = newest {
                return Some((name.clone(), artifact.clone()));
            }
        }
        None
    }

    fn save_cache(&mut self, key: &str, paths: &str) -> Result<(), Failed> {
        let staged = self.temp.join("cache-save").join(file_name(key));
        let wrong = |e: std::io::Error| Failed::new(class_of(&e), format!("actions/cache: {e}"));
        let mut any = false;
        let not: Vec<&str> = paths.lines().map(str::trim).filter(|l| l.starts_with('!')).collect();
        for (index, line) in cached_lines(paths) {
            let from = self.place.project.join(expand_home(line, &self.base));
            let to = staged.join(index.to_string());
            if !not.is_empty() || fixed_part(&from) != from {
                let base = fixed_part(&from);
                let (files, _) = self.choose(&format!("{line}\n{}", not.join("\n")), true);
                for file in files {
                    any = true;
                    let below = file.strip_prefix(&base).unwrap_or(&file);
                    let to = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                    copy_file(&file, &to).map_err(wrong)?;
                }
            } else if from.exists() {
                any = true;
                copy_tree(&from, &to).map_err(wrong)?;
            }
        }
        if !any {
            self.output.note(&format!(
                "##[warning]Path Validation Error: nothing of {} exists, so no cache is saved",
                paths.replace('\n', ", ")
            ));
            return Ok(());
        }
        let artifact = self.put(&staged, key)?;
        let folder = self.cache_folder();
        std::fs::create_dir_all(&folder).map_err(wrong)?;
        let entry = serde_json::to_vec(&(key, paths, super::link::now(), artifact))
            .map_err(|e| Failed::user(format!("actions/cache: {e}")))?;
        let name = super::saved::entry_name(key, paths);
        let part = folder.join(format!("{name}.{}", file_name(&self.spec.token)));
        // Another job may save the same key at the same time: the first complete one stays.
        std::fs::write(&part, entry).map_err(wrong)?;
        let done = std::fs::hard_link(&part, folder.join(name));
        let _ = std::fs::remove_file(&part);
        match done {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(wrong(e)),
            _ => self.output.note(&format!("Cache saved with key: {key}")),
        }
        Ok(())
    }

    /// Does what the steps left to do, the last one first; a failure there is a warning, as at GitHub.
    pub(super) fn run_post(&mut self) {
        while let Some(post) = self.post.pop() {
            if self.failed.is_some() || self.stopping() {
                continue;
            }
            let Post::SaveCache { key, paths } = post;
            if let Err(failed) = self.save_cache(&key, &paths) {
                self.output.note(&format!("##[warning]{}", failed.reason));
            }
        }
    }
}

/// The lines of a cache's `path` that add something, with their numbers.
fn cached_lines(paths: &str) -> impl Iterator<Item = (usize, &str)> {
    paths.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('!')).enumerate()
}

/// The folders of a pattern before its first wildcard; a path without one is itself.
fn fixed_part(pattern: &Path) -> PathBuf {
    let text = pattern.to_string_lossy();
    match text.find(['*', '?', '[']) {
        None => pattern.to_owned(),
        Some(at) => PathBuf::from(text.get(..at).and_then(|t| t.rsplit_once('/')).map_or("/", |(d, _)| d)),
    }
}

fn expand_home(
    path: &str,
    env: &std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>,
) -> String {
    match (path.strip_prefix('~'), env.get(std::ffi::OsStr::new("HOME"))) {
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
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
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
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
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
