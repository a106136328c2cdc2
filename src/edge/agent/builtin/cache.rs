//! `actions/cache`, and its halves `restore` and `save`.

use super::files::{expand_home, fixed_part};
use super::inputs::{Inputs, Outputs, input, pair};
use super::run::Post;
use crate::agent::copy::{At, copy_file, copy_tree};
use crate::agent::fence::Fence;
use crate::agent::job::{Job, class_of};
use crate::agent::link::now;
use crate::agent::place::file_name;
use crate::agent::saved;
use crate::agent::scope::Failed;
use std::path::{Path, PathBuf};
use tidegate_flow::job::ArtifactRef;

impl Job<'_> {
    fn cache_folder(&self) -> PathBuf {
        saved::folder(&self.around.store)
    }

    pub(super) fn cache(&mut self, inputs: &Inputs, save: bool) -> Result<Outputs, Failed> {
        let key = input(inputs, "key").to_owned();
        let paths = input(inputs, "path").to_owned();
        if key.is_empty() || paths.is_empty() {
            return Err(Failed::user("actions/cache: `key` and `path` are needed"));
        }
        self.not_secret("actions/cache", "key", &key)?;
        self.can_reach("actions/cache", &paths)?;
        let look_only = input(inputs, "lookup-only") == "true";
        let restore_keys = input(inputs, "restore-keys");
        let found = self.find_cache(&key, &paths, restore_keys).filter(|(name, artifact)| {
            let whole = self.around.objects.claim(artifact).unwrap_or(false);
            whole && saved::used(&self.cache_folder().join(saved::entry_name(name, &paths)))
        });
        let hit = found.as_ref().is_some_and(|(k, _)| *k == key);
        match &found {
            Some((name, _)) if look_only => {
                self.output.note(&format!("Cache found and can be restored from key: {name}"));
            }
            Some((name, artifact)) => {
                let staged = self.staging.join("cache").join(file_name(name));
                self.fetch(artifact, &staged)?;
                for (index, line) in cached_lines(&paths) {
                    let from = staged.join(index.to_string());
                    let to = fixed_part(&self.place.project.join(expand_home(line, &self.base)));
                    if from.exists() {
                        self.lay_down("actions/cache", line, &from, &to)?;
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

    pub(super) fn save_cache(&mut self, key: &str, paths: &str) -> Result<(), Failed> {
        self.can_reach("actions/cache", paths)?;
        let staged = self.staging.join("cache-save").join(file_name(key));
        let own = Fence::default();
        let wrong = |e: std::io::Error| Failed::new(class_of(&e), format!("actions/cache: {e}"));
        let wrong_at = |path: &Path, e: &std::io::Error| {
            Failed::new(class_of(e), format!("actions/cache: {}: {e}", path.display()))
        };
        let mut any = false;
        let not: Vec<&str> = paths.lines().map(str::trim).filter(|l| l.starts_with('!')).collect();
        for (index, line) in cached_lines(paths) {
            let from = self.place.project.join(expand_home(line, &self.base));
            let to = staged.join(index.to_string());
            if !not.is_empty() || fixed_part(&from) != from {
                let base = fixed_part(&from);
                let (files, _) =
                    self.choose("actions/cache", &format!("{line}\n{}", not.join("\n")), true)?;
                for file in files {
                    any = true;
                    let below = file.strip_prefix(&base).unwrap_or(&file);
                    let to = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                    copy_file(At(&self.fence, &file), At(&own, &to)).map_err(|e| wrong_at(&file, &e))?;
                }
            } else if self.fence.kind(&from).map_err(|e| wrong_at(&from, &e))?.is_some() {
                any = true;
                copy_tree(At(&self.fence, &from), At(&own, &to)).map_err(|e| wrong_at(&from, &e))?;
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
        let entry = serde_json::to_vec(&(key, paths, now(), artifact))
            .map_err(|e| Failed::user(format!("actions/cache: {e}")))?;
        let name = saved::entry_name(key, paths);
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
}

/// The lines of a cache's `path` that add something, with their numbers.
fn cached_lines(paths: &str) -> impl Iterator<Item = (usize, &str)> {
    paths.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('!')).enumerate()
}
