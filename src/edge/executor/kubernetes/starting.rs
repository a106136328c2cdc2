//! Starts an attempt: the hub gets what it works with, the cluster its Job and its Secret.

use super::cluster::{Cluster, create};
use super::pod::{PodSettings, job_manifest, job_name, secret_manifest};
use super::service;
use crate::hub::EngineEnd;
use crate::store::{FileObjects, Objects as _};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_flow::job::{ArtifactRef, FailureClass, JobSpec};

/// Everything that is needed to start one attempt.
pub(super) struct Starting {
    pub(super) cluster: Cluster,
    pub(super) hub: Arc<EngineEnd>,
    pub(super) objects: Arc<FileObjects>,
    pub(super) settings: PodSettings,
    pub(super) certificate: String,
    pub(super) log: PathBuf,
    pub(super) spec: Arc<JobSpec>,
    pub(super) secrets: BTreeMap<String, String>,
}

impl Starting {
    pub(super) async fn start(self) -> Result<(), (FailureClass, String)> {
        let failure = |reason: String| (FailureClass::Failure, reason);
        if self.spec.image.is_none() && self.settings.image.is_empty() {
            let words =
                "it names no image: give the job a `container`, or `defaults.container` to the workflow";
            return Err(failure(words.to_owned()));
        }
        let digest = self.push().await.map_err(failure)?;
        let key = service::secret_key().map_err(|e| failure(e.to_string()))?;
        self.hub.open(&self.spec.token, &key, &self.log);
        let job = job_manifest(&self.spec, &self.settings, &digest).map_err(|e| failure(e.to_string()))?;
        let made = create(&self.cluster.jobs(), "Job", job).await.map_err(|e| failure(e.to_string()))?;
        let Some(made) = made else {
            return Err(failure(format!("a Job {} is there already", job_name(&self.spec))));
        };
        let secrets = serde_json::to_string(&self.secrets).map_err(|e| failure(e.to_string()))?;
        let files = BTreeMap::from([
            ("hub.pem".to_owned(), self.certificate),
            ("key".to_owned(), key),
            ("secrets.json".to_owned(), secrets),
        ]);
        // After the Job, so that it is the Job's: the kubelet waits for it.
        let secret = secret_manifest(&self.spec, &self.settings, made.metadata.uid.as_deref(), &files);
        create(&self.cluster.secrets(), "Secret", secret).await.map_err(|e| failure(e.to_string()))?;
        Ok(())
    }

    /// Gives the hub what the attempt works with; returns the digest of its spec.
    async fn push(&self) -> Result<String, String> {
        let (hub, objects, spec) = (self.hub.clone(), self.objects.clone(), self.spec.clone());
        let pushed = tokio::task::spawn_blocking(move || {
            let tree = ArtifactRef { digest: spec.source.tree.clone(), tree: true, ..ArtifactRef::default() };
            let trees = (!spec.source.tree.is_empty()).then_some(&tree);
            for artifact in trees.into_iter().chain(spec.consumes.iter().flat_map(|c| &c.items)) {
                hub.objects.push(artifact, &objects)?;
            }
            let bytes = serde_json::to_vec(&*spec).unwrap_or_default();
            let digest = objects.put(&bytes)?;
            hub.objects.put(&digest, bytes)?;
            Ok::<_, crate::store::StoreError>(digest)
        });
        match pushed.await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => Err(format!("cannot give the hub what the job works with: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
