//! `actions/cache` of pods: which content has which key is in the engine's store, the content is at the hub. Where several
//! projects share the store each has caches of its own, as each repository has at GitHub: a job of one could else leave
//! in the other's what that one runs.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching#restrictions-for-accessing-a-cache>

use super::{Engine, EngineError};
use tidegate_edge::agent::ActionCaches;
use tidegate_flow::job::{ArtifactRef, SavedCache};

impl Engine<'_> {
    /// Finds the cache that fits and whose content is still at the hub; it relies on it then.
    pub(super) fn find_cache(
        &mut self,
        keys: &[String],
        paths: &str,
    ) -> Result<Option<SavedCache>, EngineError> {
        let mut asked = Ok(());
        let paths = owned(self.project(), paths);
        let found =
            ActionCaches::of_pods(&self.dir).find(keys, &paths, |artifact| match self.is_at_hub(artifact) {
                Ok(there) => there,
                Err(error) => {
                    asked = Err(error);
                    false
                }
            });
        asked.map(|()| found)
    }

    /// Keeps what a pod saved, unless its key has something already.
    pub(super) fn cache_saved(
        &mut self,
        token: &str,
        saved: &SavedCache,
        paths: &str,
    ) -> Result<(), EngineError> {
        let key = std::slice::from_ref(&saved.key);
        if self.find_cache(key, paths)?.is_some_and(|found| found.key == saved.key) {
            return Ok(());
        }
        let caches = ActionCaches::of_pods(&self.dir);
        // What was there is not at the hub any more. A cache that is not kept is made again.
        let paths = owned(self.project(), paths);
        if let Err(error) = caches.add(saved, &paths, self.clock.now().0, token, true) {
            self.observer.warn(&format!("what `actions/cache` saved as {} is not kept: {error}", saved.key));
        }
        Ok(())
    }

    fn is_at_hub(&mut self, artifact: &ArtifactRef) -> Result<bool, EngineError> {
        let digest = std::slice::from_ref(&artifact.digest);
        Ok(self.gone_elsewhere(digest)?.is_empty())
    }
}

/// What is looked for beside the key: a project's paths. No paths of a workflow can be those of another project.
fn owned(project: &str, paths: &str) -> String {
    let paths = paths.trim_start_matches('\0');
    if project.is_empty() { paths.to_owned() } else { format!("\0{project}\0{paths}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_of_projects_are_apart_and_a_store_of_one_stays_as_it_is() {
        assert_eq!(owned("", ".cache"), ".cache");
        let (a, b) = (owned("github.com/acme/a", ".cache"), owned("github.com/acme/b", ".cache"));
        assert_eq!(owned("github.com/acme/a", ".cache"), a);
        for (project, paths) in
            [("", ".cache"), ("", &*a), ("github.com/acme", "/a\0.cache"), ("github.com/acme/b", &*a)]
        {
            assert!(![&a, &b].contains(&&owned(project, paths)), "{project} {paths:?}");
        }
    }
}
