//! Starts an attempt: the hub gets what it works with, the cluster its Job and its Secret.

use super::attempt::Done;
use super::cluster::{ATTEMPT, Cluster, create};
use super::error::{ClusterError, api};
use super::pod::{
    PodSettings, Template, identity, job_manifest, job_name, pull_secret, secret_manifest, service_manifest,
    service_secrets,
};
use super::projection;
use super::ranks::token_of;
use super::service;
use super::shape::Disk;
use crate::agent::node_log_path;
use crate::hub::EngineEnd;
use crate::store::{FileObjects, StoreError};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_flow::job::{ArtifactRef, FailureClass, JobSpec};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

/// How often one that waits looks whether it is still wanted.
const WANTED: Duration = Duration::from_millis(100);

/// Why an attempt could not start.
type Failed = (FailureClass, String);

/// Everything that is needed to start one attempt.
pub(super) struct Starting {
    pub(super) cluster: Cluster,
    pub(super) hub: Arc<EngineEnd>,
    pub(super) objects: Arc<FileObjects>,
    pub(super) settings: PodSettings,
    pub(super) certificate: String,
    pub(super) disk: Disk,
    pub(super) log: PathBuf,
    pub(super) spec: Arc<JobSpec>,
    pub(super) secrets: BTreeMap<String, String>,
    /// A former engine may have started it.
    pub(super) taken_up: bool,
    /// Who may talk to the hub: each takes a thread while it waits for the answer.
    pub(super) pushing: Arc<Semaphore>,
    /// Nobody wants it any more.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) done: UnboundedSender<Done>,
}

impl Starting {
    pub(super) async fn start(self) -> Result<(), Failed> {
        let failure = |reason: String| (FailureClass::Failure, reason);
        let (digest, bytes) = self.bytes();
        if self.taken_up && self.find(&digest).await? {
            return Ok(());
        }
        self.push(digest.clone(), bytes).await?;
        self.still_wanted()?;
        let key = service::secret_key().map_err(|e| failure(e.to_string()))?;
        self.open(&key, &digest);
        let text = self.template().map_err(failure)?;
        let template = text.as_ref().map(|(path, text)| Template { path, text });
        let job = job_manifest(&self.spec, &self.settings, &digest, template);
        let job = job.map_err(|e| failure(e.with_places()))?;
        let made = self.create(self.cluster.jobs(), "Job", job).await?;
        let made = match made {
            Some(made) => made,
            // The API server may have made it and not have said so.
            None => match self.find_one(self.cluster.jobs(), "Job").await? {
                Some(job) if self.is_own(&job, &digest) => job,
                _ => return Err(self.foreign()),
            },
        };
        self.is_there(&made);
        self.still_wanted()?;
        self.secret(&made, key, &digest).await
    }

    /// Thousands may wait for their turn when a run is cancelled: none of them makes anything then.
    fn still_wanted(&self) -> Result<(), Failed> {
        if self.stop.load(Ordering::Acquire) {
            return Err((FailureClass::Lost, "nobody wants it any more".to_owned()));
        }
        Ok(())
    }

    /// Waits for the hub, which may be away for long, as long as the attempt is wanted: nothing is made by that.
    async fn while_wanted<T>(&self, waits: impl Future<Output = T> + Send) -> Result<T, Failed> {
        self.still_wanted()?;
        let mut waits = std::pin::pin!(waits);
        loop {
            tokio::select! {
                done = &mut waits => return Ok(done),
                () = tokio::time::sleep(WANTED) => self.still_wanted()?,
            }
        }
    }

    /// The token of each pod.
    fn ranks(&self) -> impl Iterator<Item = String> {
        (0..self.spec.pod.nodes.max(1)).map(|rank| token_of(&self.spec.token, rank))
    }

    /// Lets the agents in.
    fn open(&self, key: &str, spec: &str) {
        for (rank, token) in (0..).zip(self.ranks()) {
            self.hub.open(&token, key, spec, &node_log_path(&self.log, rank));
        }
    }

    /// Looks for what a former engine started: its receipt, then its Job. Returns whether there is
    /// something that goes on.
    async fn find(&self, digest: &str) -> Result<bool, Failed> {
        self.open("", digest);
        let (hub, asked) = (self.hub.clone(), digest.to_owned());
        // The answer comes after all that the hub has to say of the attempt.
        let answered = tokio::task::spawn_blocking(move || hub.objects.missing(&[asked]));
        let answered = self.while_wanted(answered).await?;
        answered
            .map_err(|e| e.to_string())
            .and_then(|answer| answer.map_err(|e| e.to_string()))
            .map_err(|e| (FailureClass::Lost, format!("the hub does not say what it has: {e}")))?;
        if self.ranks().all(|token| self.hub.has_receipt(&token)) {
            return Ok(true);
        }
        let Some(job) = self.find_one(self.cluster.jobs(), "Job").await? else {
            return self.without_job().map(|()| false);
        };
        if !self.is_own(&job, digest) {
            return Err(self.foreign());
        }
        self.is_there(&job);
        match self.key_there().await? {
            Some(key) => self.open(&key, digest),
            None => {
                let key = service::secret_key().map_err(|e| (FailureClass::Lost, e.to_string()))?;
                self.open(&key, digest);
                self.secret(&job, key, digest).await?;
            }
        }
        Ok(true)
    }

    /// Its Job is there.
    fn is_there(&self, job: &Job) {
        let (token, job) = (self.spec.token.clone(), Box::new(projection::job(job.clone())));
        let _ = self.done.send(Done::Made { token, job });
    }

    /// There is no Job: it may start, unless it did before. The agents of a new one would be let in nowhere.
    fn without_job(&self) -> Result<(), Failed> {
        if self.ranks().any(|token| self.hub.has_agent(&token)) {
            let words = "its Job was removed while no engine looked after it";
            return Err((FailureClass::Lost, words.to_owned()));
        }
        Ok(())
    }

    /// The secret of the agent, as its Secret has it.
    async fn key_there(&self) -> Result<Option<String>, Failed> {
        let secret = self.find_one(self.cluster.secrets(), "Secret").await?;
        Ok(secret.and_then(|s| String::from_utf8(s.data?.remove("key")?.0).ok()))
    }

    /// Looks for what has this attempt's name.
    async fn find_one<K>(&self, objects: Api<K>, what: &str) -> Result<Option<K>, Failed>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync,
    {
        let name = job_name(&self.spec);
        let ask = || {
            let (objects, name) = (objects.clone(), name.clone());
            let doing = format!("looking for the {what} {name}");
            async move { objects.get_opt(&name).await.map_err(|e| api(doing, e)) }
        };
        self.insist(ask).await.map_err(|error| (FailureClass::Lost, error.to_string()))
    }

    /// Makes an object; `None` if one of that name is there.
    async fn create<K>(&self, objects: Api<K>, what: &'static str, made: Json) -> Result<Option<K>, Failed>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + Sync,
    {
        let ask = || {
            let (objects, made) = (objects.clone(), made.clone());
            async move { create(&objects, what, made).await }
        };
        // What the API server refuses for good, it refuses whenever it is asked.
        let not_taken =
            |e: ClusterError| (FailureClass::Unschedulable, format!("the cluster does not take it: {e}"));
        self.insist(ask).await.map_err(not_taken)
    }

    fn foreign(&self) -> Failed {
        let name = job_name(&self.spec);
        (FailureClass::Lost, format!("the Job {name} that is there is another store's, or does other work"))
    }

    /// Asks until the API server answers, as long as the attempt is wanted.
    async fn insist<T, F>(&self, ask: impl Fn() -> F + Send) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, ClusterError>> + Send,
    {
        let mut pause = Duration::from_millis(200);
        loop {
            match ask().await {
                // Rights were there when the run began: one that was taken away is waited for.
                Err(error)
                    if (error.is_passing() || error.is_denied()) && !self.stop.load(Ordering::Acquire) =>
                {
                    let why = error.waiting();
                    let _ = self.done.send(Done::Waits { token: self.spec.token.clone(), why });
                }
                other => return other,
            }
            // One that is not wanted any more asks once more: what was on its way is known then.
            let _ = self.while_wanted(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// A Job is this attempt's only if store, attempt and work are the same.
    fn is_own(&self, job: &Job, digest: &str) -> bool {
        let has = |of: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
            of.and_then(|of| of.get(key)).is_some_and(|found| found == value)
        };
        let (labels, notes) = (job.metadata.labels.as_ref(), job.metadata.annotations.as_ref());
        has(labels, "tidegate.dev/store", &self.settings.store)
            && has(notes, ATTEMPT, &self.spec.token)
            && has(notes, "tidegate.dev/spec", &identity(&self.spec, digest))
    }

    /// Makes what the agent alone may read: after the Job, so that it is the Job's. The kubelet waits for it.
    async fn secret(&self, job: &Job, key: String, digest: &str) -> Result<(), Failed> {
        let failure = |reason: String| (FailureClass::Failure, reason);
        let secrets = serde_json::to_string(&self.secrets).map_err(|e| failure(e.to_string()))?;
        let owner = job.metadata.uid.as_deref().unwrap_or_default();
        let mut variables = service_secrets(&self.spec, &self.secrets).map_err(failure)?;
        let mut files = BTreeMap::from([
            ("hub.pem".to_owned(), self.certificate.clone()),
            ("key".to_owned(), key),
            ("secrets.json".to_owned(), secrets),
        ]);
        files.append(&mut variables);
        // After the Job, so that they are the Job's: the kubelet waits for them.
        if let Some(pull) = pull_secret(&self.spec, &self.settings, owner, &self.secrets).map_err(failure)? {
            self.create(self.cluster.secrets(), "Secret", pull).await?;
        }
        if self.spec.pod.nodes > 0 {
            let service = service_manifest(&self.spec, &self.settings, owner);
            self.create(self.cluster.services(), "Service", service).await?;
        }
        let secret = secret_manifest(&self.spec, &self.settings, Some(owner), &files);
        let made = self.create(self.cluster.secrets(), "Secret", secret).await?;
        // What a former engine asked for when it died may come into being only now; that is what the agent reads.
        if made.is_none()
            && let Some(key) = self.key_there().await?
        {
            self.open(&key, digest);
        }
        Ok(())
    }

    /// Path and text of the pod template, as it is in the tree that the job works in.
    fn template(&self) -> Result<Option<(String, String)>, String> {
        let Some(path) = &self.spec.pod.template else { return Ok(None) };
        let whole = Path::new(&self.spec.source.project).join(path.trim_start_matches("./"));
        let wrong = |e: &dyn std::fmt::Display| format!("pod-template {path}: {e}");
        let bytes = self.objects.file_of(&self.spec.source.tree, &whole).map_err(|e| wrong(&e))?;
        let bytes = bytes.ok_or_else(|| wrong(&"there is no such file in the tree"))?;
        let text = String::from_utf8(bytes).map_err(|e| wrong(&e))?;
        Ok(Some((path.clone(), text)))
    }

    /// The spec as an object, and its digest.
    fn bytes(&self) -> (String, Vec<u8>) {
        let bytes = serde_json::to_vec(&*self.spec).unwrap_or_default();
        (blake3::hash(&bytes).to_hex().to_string(), bytes)
    }

    /// Gives the hub what the attempt works with.
    async fn push(&self, digest: String, bytes: Vec<u8>) -> Result<(), Failed> {
        let (hub, objects, spec) = (self.hub.clone(), self.objects.clone(), self.spec.clone());
        let disk = self.disk;
        let _turn = self.while_wanted(self.pushing.acquire()).await?;
        let pushed = tokio::task::spawn_blocking(move || {
            let wrong =
                |e: StoreError| (class_of(&e), format!("cannot give the hub what the job works with: {e}"));
            let tree = ArtifactRef { digest: spec.source.tree.clone(), tree: true, ..ArtifactRef::default() };
            if !tree.digest.is_empty() {
                hub.objects.push(&tree, &objects).map_err(wrong)?;
            }
            for consumed in &spec.consumes {
                for item in &consumed.items {
                    hub.objects.push(item, &objects).map_err(|error| match error {
                        // It was made in a pod, so only the hub had it.
                        StoreError::Missing(_) => (FailureClass::Data, lost(&consumed.path, disk)),
                        other => wrong(other),
                    })?;
                }
            }
            if let Some(saved) = spec.checkpoint.as_ref().and_then(|checkpoint| checkpoint.saved.as_ref()) {
                // One that is gone is said by the attempt.
                hub.objects.claim(std::slice::from_ref(&saved.digest)).map_err(wrong)?;
            }
            hub.objects.put(&digest, bytes).map_err(wrong)
        });
        let pushed = self.while_wanted(pushed).await?;
        pushed.unwrap_or_else(|error| Err((FailureClass::Failure, error.to_string())))
    }
}

fn class_of(error: &StoreError) -> FailureClass {
    match error {
        StoreError::Missing(_) | StoreError::Damaged(_) => FailureClass::Data,
        _ => FailureClass::Failure,
    }
}

/// What to say of a consumed artifact that the hub had and has no more.
fn lost(path: &str, disk: Disk) -> String {
    let why = match disk {
        Disk::EmptyDir => {
            "its disk is an emptyDir, and went with its pod (`kubernetes: hub: { volume: 20Gi }` keeps it)"
        }
        Disk::Claim => "its volume was emptied or replaced",
        Disk::Store => "it was removed from the object store, perhaps by a rule of the bucket's",
    };
    format!(
        "what it consumes at `{path}` is not at the hub any more: {why}. Run the workflow again: what is lost is \
         made again, also where the cache had it"
    )
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::*;

    fn starting(world: &mut World) -> Starting {
        let spec = world.attempt().spec.clone();
        let state = &world.state;
        Starting {
            cluster: state.cluster.clone(),
            hub: state.hub.clone(),
            objects: state.objects.clone(),
            settings: state.settings.clone(),
            certificate: String::new(),
            disk: state.disk,
            log: PathBuf::new(),
            spec,
            secrets: BTreeMap::new(),
            taken_up: true,
            pushing: state.pushing.clone(),
            stop: Arc::default(),
            done: state.done.clone(),
        }
    }

    #[test]
    fn what_began_and_has_no_job_any_more_does_not_begin_again() {
        for (nodes, rank) in [(0, 0), (2, 0), (2, 1)] {
            let mut world = World::new(nodes);
            assert_eq!(starting(&mut world).without_job(), Ok(()));
            world.comes(rank);
            let (class, _) = starting(&mut world).without_job().unwrap_err();
            assert_eq!(class, FailureClass::Lost, "{nodes} {rank}");
        }
    }

    /// A hub that is away may be so for hours.
    #[test]
    fn who_is_not_wanted_any_more_waits_for_no_hub() {
        for taken_up in [false, true] {
            let mut world = World::new(2);
            let starting = Starting { taken_up, ..starting(&mut world) };
            let stop = starting.stop.clone();
            let done = world.drive(async {
                let stopped = async {
                    tokio::time::sleep(WANTED).await;
                    stop.store(true, Ordering::Release);
                };
                tokio::join!(tokio::time::timeout(Duration::from_mins(1), starting.start()), stopped).0
            });
            // What waits in threads goes on.
            world.state.hub.objects.over("the test is over");
            assert_eq!(
                done,
                Ok(Err((FailureClass::Lost, "nobody wants it any more".to_owned()))),
                "{taken_up}"
            );
        }
    }
}
