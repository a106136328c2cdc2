//! A folder of objects with a hub behind it.

use super::objects::HubObjects;
use crate::store::{FileObjects, Objects, StoreError};
use std::path::Path;
use std::sync::Arc;
use tidegate_flow::job::ArtifactRef;

/// A folder of objects with a hub behind it: what is kept goes to the hub, what is not here comes from it.
pub struct Mirrored {
    here: Arc<FileObjects>,
    hub: Arc<HubObjects>,
}

impl Mirrored {
    /// Makes one.
    pub fn new(here: FileObjects, hub: Arc<HubObjects>) -> Self {
        Self { here: Arc::new(here), hub }
    }

    /// Gives the hub again what it lost of an artifact that was kept here.
    pub fn still_kept(&self, artifact: &ArtifactRef) -> Result<(), StoreError> {
        if self.here.has(&artifact.digest) { self.hub.push(artifact, &self.here) } else { Ok(()) }
    }
}

impl Objects for Mirrored {
    fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = self.here.put(bytes)?;
        if !self.hub.missing(std::slice::from_ref(&digest))?.is_empty() {
            self.hub.send(&digest, &self.here)?;
        }
        Ok(digest)
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        match self.here.get(digest) {
            Err(StoreError::Missing(_)) => self.hub.get(digest),
            other => other,
        }
    }

    fn put_path(&self, path: &Path) -> Result<ArtifactRef, StoreError> {
        let artifact = self.here.put_path(path)?;
        self.hub.push(&artifact, &self.here)?;
        Ok(artifact)
    }

    /// Nothing is collected at the hub, and what is here lives as long as the pod.
    fn claim(&self, _artifact: &ArtifactRef) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn fetch(&self, artifact: &ArtifactRef, to: &Path) -> Result<(), StoreError> {
        self.hub.pull(artifact, &self.here)?;
        self.here.fetch(artifact, to)
    }
}
