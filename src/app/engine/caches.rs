//! `actions/cache` of pods: which content has which key is in the engine's store, the content is at the hub.

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
        let found =
            ActionCaches::of_pods(&self.dir).find(keys, paths, |artifact| match self.is_at_hub(artifact) {
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
        if let Err(error) = caches.add(saved, paths, self.clock.now().0, token, true) {
            self.observer.warn(&format!("what `actions/cache` saved as {} is not kept: {error}", saved.key));
        }
        Ok(())
    }

    fn is_at_hub(&mut self, artifact: &ArtifactRef) -> Result<bool, EngineError> {
        let digest = std::slice::from_ref(&artifact.digest);
        Ok(self.gone_elsewhere(digest)?.is_empty())
    }
}
