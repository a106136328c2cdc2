//! Hands a run over to the engine of a namespace: its tree and data to the hub, then one Secret. Before the
//! Secret is there, nothing runs; after it, nobody here is needed.

use super::exec::{Pods, engine_pod, installed};
use super::objects::with_hub;
use super::request::{NUMBER, REFUSED, TROUBLE, manifest, name_of};
use crate::executor::kubernetes::cluster::{Cluster, create};
use crate::executor::kubernetes::error::ClusterError;
use crate::executor::kubernetes::service;
use crate::store::FileObjects;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::wire::v1::Submission as Run;
use tokio::time::{Instant, sleep};

/// How long the engine's word is waited for; without it the run starts when the engine gets to it.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the API server is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run to hand over.
pub struct Submission<'a> {
    /// The context of the kubeconfig; `None`: the current one.
    pub context: Option<&'a str>,
    /// The namespace; `None`: the context's.
    pub namespace: Option<&'a str>,
    /// The run.
    pub run: &'a Run,
    /// Values of its secrets.
    pub secrets: &'a BTreeMap<String, String>,
    /// Its tree and its data.
    pub artifacts: Vec<ArtifactRef>,
    /// Where their content is.
    pub objects: Arc<FileObjects>,
}

/// What the engine said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the run, under this number.
    Accepted(u64),
    /// It does not take the run.
    Refused(String),
    /// Nothing yet, and what is known of why. The run starts when it does.
    Nothing(String),
}

/// Hands a run over; returns the namespace, too.
pub fn submit(handed: &Submission<'_>) -> Result<(String, Answer), ClusterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime
        .map_err(|source| ClusterError::Io { doing: "starting the connection to the cluster", source })?;
    let done = runtime.block_on(async {
        let cluster = Cluster::connect(handed.context, handed.namespace).await?;
        // What does not fit is said before anything travels.
        let secret = manifest(&cluster.namespace, handed.run, handed.secrets)?;
        installed(&cluster).await?;
        push(&cluster, handed).await?;
        let name = name_of(&handed.run.created.run);
        let until = Instant::now() + PATIENCE;
        loop {
            // One that is there already is this one: nobody else has the run's id.
            match create(&cluster.secrets(), "Secret", secret.clone()).await {
                Err(error) if error.is_passing() && Instant::now() < until => {
                    sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        let answer = answer(&cluster, &name).await;
        Ok((cluster.namespace, answer))
    });
    runtime.shutdown_background();
    done
}

async fn push(cluster: &Cluster, handed: &Submission<'_>) -> Result<(), ClusterError> {
    let until = Instant::now() + PATIENCE;
    let found = loop {
        match service::find(cluster).await? {
            Some(found) => break found,
            None if Instant::now() < until => sleep(Duration::from_millis(500)).await,
            None => {
                let reason = match engine_pod(cluster).await? {
                    Pods::Waits(reason) => reason,
                    Pods::Runs(_) => "it has not put up the hub yet".to_owned(),
                };
                return Err(ClusterError::EngineAway { namespace: cluster.namespace.clone(), reason });
            }
        }
    };
    let (artifacts, objects) = (handed.artifacts.clone(), handed.objects.clone());
    // In the run's own name: a collection of this store does not give up what a run needs that the store does not know.
    let pushed = with_hub(cluster, &found, &handed.run.created.run, move |hub| {
        artifacts.iter().try_for_each(|artifact| hub.push(artifact, &objects))
    });
    pushed.await?.map_err(|error| ClusterError::Io {
        doing: "giving the hub what the run works with",
        source: std::io::Error::other(error),
    })
}

/// Waits for the engine's word.
async fn answer(cluster: &Cluster, name: &str) -> Answer {
    let until = Instant::now() + ANSWER;
    let mut trouble = None;
    while Instant::now() < until {
        match cluster.secrets().get_opt(name).await {
            Ok(Some(secret)) => {
                let notes = secret.metadata.annotations.unwrap_or_default();
                if let Some(number) = notes.get(NUMBER).and_then(|number| number.parse().ok()) {
                    return Answer::Accepted(number);
                }
                if let Some(reason) = notes.get(REFUSED) {
                    return Answer::Refused(reason.clone());
                }
                trouble = notes.get(TROUBLE).cloned();
            }
            // It has begun and ended.
            Ok(None) => return Answer::Nothing("its request is gone: it may have ended already".to_owned()),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Answer::Nothing("this account may not read what the engine says of it".to_owned());
            }
            Err(_) => {}
        }
        sleep(Duration::from_millis(200)).await;
    }
    Answer::Nothing(match engine_pod(cluster).await {
        Ok(Pods::Waits(reason)) => format!("the engine does not run: {reason}"),
        Ok(Pods::Runs(_)) => trouble.map_or_else(
            || "the engine has not answered yet".to_owned(),
            |trouble| format!("the engine tries again: {trouble}"),
        ),
        Err(error) => error.to_string(),
    })
}
