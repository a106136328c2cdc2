//! `actions/cache`, and its halves `restore` and `save`.

use super::files::{expand_home, fixed_part};
use super::inputs::{Inputs, Outputs, input, pair};
use super::run::Post;
use crate::agent::copy::{At, copy_file, copy_tree};
use crate::agent::fence::Fence;
use crate::agent::job::{Job, class_of};
use crate::agent::link::{Asked, now};
use crate::agent::place::file_name;
use crate::agent::saved::ActionCaches;
use crate::agent::scope::Failed;
use std::path::Path;
use std::time::Duration;
use tidegate_flow::job::{Answer, MessageBody, Question, SavedCache};

/// A cache only saves time: an engine that is away is waited for no longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who knows which caches there are.
#[derive(Clone, Debug)]
pub enum Caches {
    /// This machine's store.
    Here(ActionCaches),
    /// The engine: what a pod knows dies with it.
    Asked,
}

impl Job<'_> {
    pub(super) fn cache(&mut self, inputs: &Inputs, save: bool) -> Result<Outputs, Failed> {
        let key = input(inputs, "key").to_owned();
        let paths = input(inputs, "path").to_owned();
        if key.is_empty() || paths.is_empty() {
            return Err(Failed::user("actions/cache: `key` and `path` are needed"));
        }
        self.not_secret("actions/cache", "key", &key)?;
        self.can_reach("actions/cache", &paths)?;
        let look_only = input(inputs, "lookup-only") == "true";
        let restore_keys = input(inputs, "restore-keys").lines().map(str::trim);
        let keys = std::iter::once(key.as_str()).chain(restore_keys.filter(|line| !line.is_empty()));
        let found = self.find_cache(keys.map(str::to_owned).collect(), &paths)?;
        let hit = found.as_ref().is_some_and(|saved| saved.key == key);
        match &found {
            Some(SavedCache { key: name, .. }) if look_only => {
                self.output.note(&format!("Cache found and can be restored from key: {name}"));
            }
            Some(SavedCache { key: name, artifact }) => {
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
        if let Some(saved) = found {
            outputs.push(pair("cache-hit", if hit { "true" } else { "false" }));
            outputs.push(pair("cache-matched-key", saved.key));
        } else {
            outputs.push(pair("cache-hit", ""));
        }
        Ok(outputs)
    }

    fn find_cache(&mut self, keys: Vec<String>, paths: &str) -> Result<Option<SavedCache>, Failed> {
        let caches = match &self.around.caches {
            Caches::Here(caches) => caches,
            Caches::Asked => return self.ask_for_cache(keys, paths),
        };
        Ok(caches.find(&keys, paths, |artifact| self.around.objects.claim(artifact).unwrap_or(false)))
    }

    fn ask_for_cache(&mut self, keys: Vec<String>, paths: &str) -> Result<Option<SavedCache>, Failed> {
        let question = Question::Cache { keys, paths: paths.to_owned() };
        match self.link.ask_within(question, PATIENCE) {
            Asked::Answer(Answer::Cache(found)) => Ok(found),
            Asked::Answer(_) => Err(Failed::user("actions/cache: the engine answered something else")),
            Asked::TooLate => {
                self.output.note("##[warning]the engine is away: the job goes on without what the cache has");
                Ok(None)
            }
            Asked::Stopped => Err(Failed::user("cancelled while the cache was asked for")),
        }
    }

    pub(super) fn save_cache(&mut self, key: &str, paths: &str) -> Result<(), Failed> {
        if self.follows() {
            self.output.note(&format!("node 0 saves the cache {key}"));
            return Ok(());
        }
        self.can_reach("actions/cache", paths)?;
        let staged = self.staged("cache-save", key)?;
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
        let saved = SavedCache { key: key.to_owned(), artifact };
        match &self.around.caches {
            Caches::Here(caches) => {
                caches.add(&saved, paths, now(), &file_name(&self.spec.token), false).map_err(wrong)?;
            }
            Caches::Asked => {
                let SavedCache { key, artifact } = saved;
                self.link.say(MessageBody::CacheSaved { key, paths: paths.to_owned(), artifact });
            }
        }
        self.output.note(&format!("Cache saved with key: {key}"));
        Ok(())
    }
}

/// The lines of a cache's `path` that add something, with their numbers.
fn cached_lines(paths: &str) -> impl Iterator<Item = (usize, &str)> {
    paths.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('!')).enumerate()
}
