//! What is asked of the API server.

use super::error::{ClusterError, api};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;
use tower::timeout::TimeoutLayer;

/// The annotation that names the attempt of a Job.
pub(super) const ATTEMPT: &str = "tidegate.dev/attempt";
/// The label that names the store of everything that is made.
pub(super) const STORE: &str = "tidegate.dev/store";
/// The label that names the run, in small letters.
const RUN: &str = "tidegate.dev/run";

/// The API server begins an answer within this time, that to a watch, too: webhooks have 30 s at most (Kubernetes, "Dynamic
/// Admission Control"). A connection that is cut at the wrong moment may leave the client without an answer for ever.
const ANSWER: Duration = Duration::from_mins(1);

fn client_of(config: Config, patience: Duration) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(patience)).build())
}

/// A Job that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptJob {
    /// Its name.
    pub name: String,
    /// The run.
    pub run: String,
    /// The attempt's token.
    pub attempt: String,
}

/// A namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(super) client: Client,
    /// The namespace.
    pub namespace: String,
    /// The API server's address, for people.
    pub address: String,
    /// This process is a pod of the cluster: Services can be dialled.
    pub(super) inside: bool,
}

impl Cluster {
    /// Connects as kubectl does: `KUBECONFIG`, `~/.kube/config`, or the account of the pod it runs in.
    pub async fn connect(context: Option<&str>, namespace: Option<&str>) -> Result<Self, ClusterError> {
        let config = |e: &dyn std::fmt::Display| ClusterError::Config(e.to_string());
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let (mut made, inside) = match Kubeconfig::read() {
            Ok(file) => {
                (Config::from_custom_kubeconfig(file, &options).await.map_err(|e| config(&e))?, false)
            }
            Err(error) if context.is_some() => return Err(config(&error)),
            Err(error) => (Config::incluster().map_err(|_| config(&error))?, true),
        };
        let namespace = namespace.map_or_else(|| made.default_namespace.clone(), str::to_owned);
        let address = made.cluster_url.to_string();
        // The client's own tries again (429, 503, 504) take up to three minutes, are not heard of and cannot be stopped;
        // all who wait for a server ask again themselves.
        made.default_retry = false;
        let client = client_of(made, ANSWER).map_err(|e| config(&e))?;
        Ok(Self { client, namespace, address, inside })
    }

    pub(super) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn events(&self) -> Api<Event> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Lists the Jobs of a store.
    pub async fn kept_jobs(&self, store: &str) -> Result<Vec<KeptJob>, ClusterError> {
        let chosen = ListParams::default().labels(&format!("{STORE}={store}"));
        let found = self.jobs().list_metadata(&chosen).await;
        let found = found.map_err(|e| api("looking for the Jobs of this store".to_owned(), e))?;
        let text = |of: Option<&BTreeMap<String, String>>, key: &str| {
            of.and_then(|of| of.get(key)).cloned().unwrap_or_default()
        };
        let kept = found.items.into_iter().map(|job| KeptJob {
            run: text(job.metadata.labels.as_ref(), RUN).to_ascii_uppercase(),
            attempt: text(job.metadata.annotations.as_ref(), ATTEMPT),
            name: job.metadata.name.unwrap_or_default(),
        });
        Ok(kept.collect())
    }

    /// Lists the pods of a Job, which may be gone itself.
    pub(super) async fn pods_of(&self, job: &str) -> Result<Vec<Pod>, ClusterError> {
        let found = self.pods().list(&ListParams::default().labels(&of_job(job))).await;
        Ok(found.map_err(|e| api(format!("looking for the pods of the Job {job}"), e))?.items)
    }

    /// Has the pods of a Job end within this grace; who may not do it lets them take their time.
    pub(super) async fn hurry_pods(&self, job: &str, grace_seconds: u32) {
        let chosen = ListParams::default().labels(&of_job(job));
        let params = DeleteParams { grace_period_seconds: Some(grace_seconds), ..DeleteParams::background() };
        let _ = self.pods().delete_collection(&params, &chosen).await;
    }

    /// Removes a Job and its pods; one that is gone is no error.
    pub async fn remove_job(&self, name: &str) -> Result<(), ClusterError> {
        match self.jobs().delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(api(format!("removing the Job {name}"), error)),
        }
    }
}

/// Chooses the pods of a Job (Kubernetes, "Well-Known Labels").
fn of_job(job: &str) -> String {
    format!("batch.kubernetes.io/job-name={job}")
}

/// Makes an object; `None` if one of that name is there already.
pub(super) async fn create<K>(
    api_: &Api<K>,
    what: &'static str,
    manifest: Json,
) -> Result<Option<K>, ClusterError>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let object: K =
        serde_json::from_value(manifest).map_err(|source| ClusterError::Manifest { what, source })?;
    match api_.create(&PostParams::default(), &object).await {
        Ok(made) => Ok(Some(made)),
        // A conflict may also be one of quotas, which is tried again.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(None),
        Err(error) => Err(api(format!("creating the {what} {name}"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpListener};

    /// A server that takes every connection and cuts it: before it has read anything, or after.
    fn cuts(after: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if after {
                    let _ = stream.read(&mut [0; 4096]);
                }
            }
        });
        address
    }

    /// Who is first, the client with its question or the server with its end, is chance: each outcome is seen here.
    #[test]
    fn a_server_that_cuts_connections_is_away() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async {
            for after in [false, true] {
                let mut config = Config::new(format!("http://{}", cuts(after)).parse().unwrap());
                config.default_retry = false;
                let cluster = Cluster {
                    client: client_of(config, Duration::from_secs(1)).unwrap(),
                    namespace: "default".into(),
                    address: String::new(),
                    inside: false,
                };
                for _ in 0..2000 {
                    let error = cluster.kept_jobs("store").await.unwrap_err();
                    assert!(error.is_away(), "{error:?}");
                }
            }
        });
    }
}
