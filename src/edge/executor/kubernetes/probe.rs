//! Questions to a cluster before anything is submitted: its policy, and what its API server would say.

use super::cluster::Cluster;
use super::error::{ClusterError, api, is_denied};
use super::pod::Policy;
use super::rules;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// A connection for a few questions.
pub struct Probe {
    runtime: Runtime,
    cluster: Cluster,
}

/// What the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `Job` or `Pod`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// The server's words.
    pub reason: String,
    /// Whether it is only this question that was refused: nothing is known of the answer.
    pub unknown: bool,
}

impl Probe {
    /// Connects as `run` does.
    pub fn connect(context: Option<&str>, namespace: Option<&str>) -> Result<Self, ClusterError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|source| ClusterError::Io { doing: "starting the connection to the cluster", source })?;
        let cluster = runtime.block_on(Cluster::connect(context, namespace))?;
        Ok(Self { runtime, cluster })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.cluster.namespace
    }

    /// The policy that holds there.
    pub fn policy(&self, own: &Policy) -> Result<Policy, ClusterError> {
        self.runtime.block_on(rules::policy(&self.cluster, own))
    }

    /// Has a Job and its pod created for trial (`dryRun=All`): admission, quotas and limits speak, and
    /// nothing is made.
    pub fn try_out(&self, job: &Json) -> Result<Vec<Refusal>, ClusterError> {
        let mut refused = Vec::new();
        refused.extend(self.create::<Job>(self.cluster.jobs(), "Job", job)?);
        let template = &job["spec"]["template"];
        let name = job["metadata"]["name"].as_str().unwrap_or_default();
        let mut metadata = template["metadata"].clone();
        metadata["name"] = json!(name);
        let pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] });
        refused.extend(self.create::<Pod>(self.cluster.pods(), "Pod", &pod)?);
        Ok(refused)
    }

    fn create<K>(
        &self,
        objects: Api<K>,
        what: &'static str,
        manifest: &Json,
    ) -> Result<Option<Refusal>, ClusterError>
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
    {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let object: K = serde_json::from_value(manifest.clone())
            .map_err(|source| ClusterError::Manifest { what, source })?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match self.runtime.block_on(objects.create(&params, &object)) {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) => {
                let reason = status.message.clone();
                Ok(Some(Refusal { what, name, reason, unknown: is_denied(&kube::Error::Api(status)) }))
            }
            Err(error) => Err(api(format!("trying out the {what} {name}"), error)),
        }
    }
}
