//! Attempts as Jobs: starts them, watches them, and says how those ended that could not say so.
//!
//! Not here: manifests (`pod`), what is seen (`observe`), the hub's own objects (`service`).

use super::cluster::{Cluster, ClusterError, create};
use super::observe::{Death, Seen, Waiting, death, seen};
use super::pod::{PodSettings, job_manifest, job_name, secret_manifest};
use super::service;
use crate::agent::log_path_of;
use crate::executor::{Executor, ExecutorMessage};
use crate::hub::{Connection, EngineEnd, HubEvent, client_config};
use crate::store::{FileObjects, Objects as _};
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_flow::job::{
    AgentRequest, Answer, ArtifactRef, Conclusion, FailureClass, JobMessage, JobSpec, MessageBody, Question,
    Receipt,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// A receipt may come this long after its pod's end.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(5);
/// The cluster may take this long to say why a container ended.
const DEATH_PATIENCE: Duration = Duration::from_secs(15);
/// A pod may take this long after its steps' grace, once it was told to stop.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);
/// How often what waits is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Pods that were told to go are waited for this long at the end.
const GONE_PATIENCE: Duration = Duration::from_mins(1);

/// What an executor of a cluster is started with.
#[derive(Clone, Debug)]
pub struct KubernetesOptions {
    /// The context of the kubeconfig; `None`: the current one.
    pub context: Option<String>,
    /// The namespace; `None`: the context's.
    pub namespace: Option<String>,
    /// Tidegate's own image.
    pub agent_image: String,
    /// The image of jobs that name none; empty: such jobs fail.
    pub image: String,
    /// An image that cannot be pulled is waited for this long.
    pub image_patience: Duration,
    /// The engine's store: objects and logs.
    pub store: PathBuf,
    /// Its id: a label of everything that is made.
    pub store_id: String,
    /// The run. Jobs of it that are there already are a former engine's: they are removed.
    pub run: String,
}

enum Order {
    Requests(Vec<AgentRequest>),
    Stop,
}

/// A connection to a cluster, with a thread of its own.
pub struct KubernetesExecutor {
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// Where messages go.
type Sink = Arc<dyn Fn(ExecutorMessage) + Send + Sync>;

impl KubernetesExecutor {
    /// Connects to the cluster and its hub; `sink` is called in order, from another thread.
    pub fn start(
        options: KubernetesOptions,
        sink: Box<dyn Fn(ExecutorMessage) + Send + Sync>,
    ) -> Result<Self, ClusterError> {
        let wrong = |doing| move |source| ClusterError::Io { doing, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(wrong("starting the connection to the cluster"))?;
        let objects = Arc::new(
            FileObjects::open(options.store.join("objects"))
                .map_err(|e| wrong("the store")(io::Error::other(e)))?,
        );
        let (orders, orders_in) = unbounded_channel();
        let (heard, events) = unbounded_channel();
        let (cluster, hub, found) = runtime.block_on(connect(&options, heard))?;
        let settings = PodSettings {
            namespace: cluster.namespace.clone(),
            store: options.store_id.clone(),
            agent_image: options.agent_image.clone(),
            image: options.image.clone(),
            hub: found.address.clone(),
        };
        let (done, done_in) = unbounded_channel();
        let state = State {
            cluster,
            hub,
            certificate: found.certificate,
            settings,
            options,
            objects,
            sink: Arc::from(sink),
            attempts: BTreeMap::new(),
            done,
        };
        let thread = std::thread::Builder::new()
            .name("kubernetes".into())
            .spawn(move || {
                runtime.block_on(state.run(orders_in, events, done_in));
                runtime.shutdown_timeout(Duration::from_secs(1));
            })
            .map_err(wrong("starting a thread"))?;
        Ok(Self { orders, thread: Some(thread) })
    }
}

impl Executor for KubernetesExecutor {
    fn send_all(&self, requests: &[AgentRequest]) -> io::Result<()> {
        self.orders.send(Order::Requests(requests.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn stop(mut self: Box<Self>) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn connect(
    options: &KubernetesOptions,
    heard: UnboundedSender<HubEvent>,
) -> Result<(Cluster, Arc<EngineEnd>, service::Found), ClusterError> {
    let cluster = Cluster::connect(options.context.as_deref(), options.namespace.as_deref()).await?;
    let found = service::ensure(&cluster, &options.agent_image).await?;
    let run = options.run.to_ascii_lowercase();
    cluster.remove_jobs(&format!("tidegate.dev/store={},tidegate.dev/run={run}", options.store_id)).await?;
    let sink = Box::new(move |event| drop(heard.send(event)));
    let hub = EngineEnd::new(&found.key, &options.store_id, sink);
    let tls = client_config(&found.certificate)
        .map_err(|source| ClusterError::Io { doing: "the hub's certificate", source })?;
    let (connection, keep_up) = Connection::new(service::dial(&cluster), tls, hub.clone());
    hub.connect(connection);
    tokio::spawn(keep_up);
    Ok((cluster, hub, found))
}

struct State {
    cluster: Cluster,
    hub: Arc<EngineEnd>,
    certificate: String,
    settings: PodSettings,
    options: KubernetesOptions,
    objects: Arc<FileObjects>,
    sink: Sink,
    attempts: BTreeMap<String, Attempt>,
    /// What tasks finished: starting a Job, removing one.
    done: UnboundedSender<Done>,
}

struct Attempt {
    spec: Arc<JobSpec>,
    name: String,
    job: Option<Job>,
    pod: Option<Pod>,
    /// The receipt was passed on, or somebody else's word about the end.
    over: bool,
    /// Since when its end is seen, without a receipt.
    ended: Option<Instant>,
    /// Since when it waits for an image.
    no_image: Option<Instant>,
    /// The agent's question why its container ended, and when it was asked.
    question: Option<(u64, Instant)>,
    /// When it has to be gone.
    leave_by: Option<Instant>,
    /// Told to stop before an agent came.
    agent: bool,
    removed: bool,
    /// What it waits for, as last told.
    waiting: Option<Waiting>,
}

enum Done {
    Started { token: String, result: Result<(), (FailureClass, String)> },
    Removed { token: String },
}

impl State {
    async fn run(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        mut events: UnboundedReceiver<HubEvent>,
        mut done: UnboundedReceiver<Done>,
    ) {
        let config =
            watcher::Config::default().labels(&format!("tidegate.dev/store={}", self.settings.store));
        let mut jobs = watcher(self.cluster.jobs(), config.clone()).default_backoff().boxed();
        let mut pods = watcher(self.cluster.pods(), config).default_backoff().boxed();
        let mut tick = tokio::time::interval(TICK);
        let mut stopping: Option<Instant> = None;
        loop {
            tokio::select! {
                order = orders.recv(), if stopping.is_none() => match order {
                    Some(Order::Requests(requests)) => requests.into_iter().for_each(|r| self.request(r)),
                    Some(Order::Stop) | None => {
                        stopping = Some(Instant::now() + GONE_PATIENCE);
                        self.leave();
                    }
                },
                Some(event) = events.recv() => self.hear(event),
                Some(done) = done.recv() => self.done(done),
                Some(event) = jobs.next() => self.job(event),
                Some(event) = pods.next() => self.pod(event),
                _ = tick.tick() => {}
            }
            self.look();
            if stopping.is_some_and(|until| self.attempts.is_empty() || Instant::now() >= until) {
                return;
            }
        }
    }

    fn request(&mut self, request: AgentRequest) {
        match request {
            AgentRequest::Start { spec, secrets } => self.start(*spec, secrets),
            AgentRequest::Acknowledge { token, seq } => {
                self.hub.request(&token, AgentRequest::Acknowledge { token: token.clone(), seq });
                self.remove(&token);
            }
            AgentRequest::Cancel { token, reason } => {
                let Some(attempt) = self.attempts.get_mut(&token) else { return };
                let grace =
                    Duration::try_from_secs_f64(attempt.spec.grace_seconds.max(0.0)).unwrap_or_default();
                attempt.leave_by = Some(Instant::now() + grace + LEAVE_PATIENCE);
                let there = attempt.agent;
                self.hub
                    .request(&token, AgentRequest::Cancel { token: token.clone(), reason: reason.clone() });
                if !there {
                    self.end(&token, Receipt::bare(Conclusion::Cancelled, None, reason));
                }
            }
            AgentRequest::Kill { token } => {
                self.hub.request(&token, AgentRequest::Kill { token: token.clone() });
                self.end(&token, Receipt::bare(Conclusion::Cancelled, None, "ended at once".to_owned()));
            }
            AgentRequest::Reply { token, id, answer } => {
                self.hub.request(&token, AgentRequest::Reply { token: token.clone(), id, answer });
            }
        }
    }

    fn start(&mut self, mut spec: JobSpec, secrets: BTreeMap<String, String>) {
        // Which devices a pod gets is the cluster's to say.
        spec.gpus = None;
        let token = spec.token.clone();
        if self.attempts.contains_key(&token) {
            return;
        }
        let spec = Arc::new(spec);
        let attempt = Attempt {
            name: job_name(&spec),
            spec: spec.clone(),
            job: None,
            pod: None,
            over: false,
            ended: None,
            no_image: None,
            question: None,
            leave_by: None,
            agent: false,
            removed: false,
            waiting: None,
        };
        self.attempts.insert(token.clone(), attempt);
        let starting = Starting {
            cluster: self.cluster.clone(),
            hub: self.hub.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            certificate: self.certificate.clone(),
            log: log_path_of(&self.options.store, &spec),
            spec,
            secrets,
        };
        let done = self.done.clone();
        tokio::spawn(async move {
            let result = starting.start().await;
            let _ = done.send(Done::Started { token, result });
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Started { token, result: Err((class, reason)) } => {
                self.end(&token, Receipt::bare(Conclusion::Failure, Some(class), reason));
            }
            Done::Started { .. } => {}
            Done::Removed { token } => {
                self.hub.close(&token);
                self.attempts.remove(&token);
            }
        }
    }

    fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Agent { attempt, .. } => {
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.agent = true;
                }
            }
            HubEvent::Message(message) => self.message(message),
            // Made again; the agents keep what they have to say.
            HubEvent::Broken(_) => {}
            HubEvent::Refused(reason) => {
                (self.sink)(ExecutorMessage::Gone {
                    reason: format!("the hub refused this engine: {reason}"),
                });
            }
        }
    }

    fn message(&mut self, mut message: JobMessage) {
        let Some(attempt) = self.attempts.get_mut(&message.token) else { return };
        match &mut message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                attempt.question = Some((*id, Instant::now()));
                return;
            }
            MessageBody::Ended(_) if attempt.over => return,
            MessageBody::Ended(receipt) => {
                attempt.over = true;
                // The agent was told to stop, and not by this engine: its pod is being taken away.
                if receipt.conclusion == Conclusion::Cancelled && attempt.leave_by.is_none() {
                    let memory = attempt.spec.resources.memory_bytes;
                    let found = attempt.pod.as_ref().and_then(|pod| death(pod, memory));
                    let (class, reason) = match found {
                        Some(death) => (death.class, death.reason),
                        None => (FailureClass::Lost, "its pod was deleted while it ran".to_owned()),
                    };
                    receipt.conclusion = Conclusion::Failure;
                    (receipt.class, receipt.reason) = (Some(class), Some(reason));
                }
            }
            _ => {}
        }
        (self.sink)(ExecutorMessage::Job(message));
    }

    fn job(&mut self, event: Result<Event<Job>, watcher::Error>) {
        // The watcher goes on by itself; what it missed it lists again.
        let Ok(event) = event else { return };
        match event {
            Event::Apply(job) | Event::InitApply(job) => {
                if let Some(attempt) = self.of(job.metadata.annotations.as_ref()) {
                    attempt.job = Some(job);
                }
            }
            Event::Delete(job) => {
                if let Some(attempt) = self.of(job.metadata.annotations.as_ref())
                    && !attempt.removed
                {
                    let token = attempt.spec.token.clone();
                    let reason = "its Job was removed by somebody else".to_owned();
                    self.end(&token, Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), reason));
                }
            }
            Event::Init | Event::InitDone => {}
        }
    }

    fn pod(&mut self, event: Result<Event<Pod>, watcher::Error>) {
        let Ok(event) = event else { return };
        if let Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) = event
            && let Some(attempt) = self.of(pod.metadata.annotations.as_ref())
        {
            attempt.pod = Some(pod);
        }
    }

    fn of(&mut self, annotations: Option<&BTreeMap<String, String>>) -> Option<&mut Attempt> {
        self.attempts.get_mut(annotations?.get("tidegate.dev/attempt")?)
    }

    /// Looks at everything that waits.
    fn look(&mut self) {
        let now = Instant::now();
        let tokens: Vec<String> =
            self.attempts.iter().filter(|(_, a)| !a.removed).map(|(t, _)| t.clone()).collect();
        for token in tokens {
            self.answer(&token, now);
            if let Some(receipt) = self.verdict(&token, now) {
                self.end(&token, receipt);
            }
        }
    }

    /// Answers an agent whose container ended under it.
    fn answer(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        let Some((id, asked)) = attempt.question else { return };
        let memory = attempt.spec.resources.memory_bytes;
        let found = attempt.pod.as_ref().and_then(|pod| death(pod, memory));
        let found = match found {
            Some(found) => found,
            None if now.duration_since(asked) < DEATH_PATIENCE => return,
            None => Death {
                class: FailureClass::Lost,
                exit: None,
                reason: "the container of the steps ended, and the cluster does not say why".to_owned(),
            },
        };
        attempt.question = None;
        let answer = Answer::Death { class: found.class, exit: found.exit, reason: found.reason };
        self.hub.request(token, AgentRequest::Reply { token: token.to_owned(), id, answer });
    }

    /// Says how an attempt ended that does not say so itself.
    fn verdict(&mut self, token: &str, now: Instant) -> Option<Receipt> {
        let attempt = self.attempts.get_mut(token).filter(|a| !a.over)?;
        if attempt.leave_by.is_some_and(|by| now >= by) {
            return Some(Receipt::bare(Conclusion::Cancelled, None, "it did not leave in time".to_owned()));
        }
        let memory = attempt.spec.resources.memory_bytes;
        match seen(attempt.job.as_ref()?, attempt.pod.as_ref(), memory) {
            Seen::Going => {
                attempt.no_image = None;
                attempt.ended = None;
                None
            }
            Seen::Waiting(waits) => {
                let image = matches!(waits, Waiting::Image(_));
                let since = if image { *attempt.no_image.get_or_insert(now) } else { now };
                if attempt.waiting.as_ref() != Some(&waits) {
                    let (Waiting::Unschedulable(reason) | Waiting::Image(reason) | Waiting::SetUp(reason)) =
                        &waits;
                    let reason = reason.clone();
                    (self.sink)(ExecutorMessage::Waiting { token: token.to_owned(), reason });
                    attempt.waiting = Some(waits.clone());
                }
                match waits {
                    Waiting::Image(reason) if now.duration_since(since) >= self.options.image_patience => {
                        Some(Receipt::bare(Conclusion::Failure, Some(FailureClass::Image), reason))
                    }
                    _ => None,
                }
            }
            Seen::Ended(death) => {
                let since = *attempt.ended.get_or_insert(now);
                if now.duration_since(since) < RECEIPT_PATIENCE {
                    return None;
                }
                let mut receipt = Receipt::bare(Conclusion::Failure, Some(death.class), death.reason);
                receipt.exit = death.exit;
                Some(receipt)
            }
        }
    }

    /// Ends an attempt on this executor's word, and removes its Job.
    fn end(&mut self, token: &str, receipt: Receipt) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        if !attempt.over {
            attempt.over = true;
            (self.sink)(ExecutorMessage::Ended { token: token.to_owned(), receipt: Box::new(receipt) });
        }
        self.remove(token);
    }

    fn remove(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|a| a.over && !a.removed) else { return };
        attempt.removed = true;
        let (cluster, name, done) = (self.cluster.clone(), attempt.name.clone(), self.done.clone());
        let token = token.to_owned();
        tokio::spawn(async move {
            // The API server may be away for a while.
            let mut pause = Duration::from_millis(200);
            while cluster.remove_job(&name).await.is_err() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            let _ = done.send(Done::Removed { token });
        });
    }

    /// Nothing more will be asked for: what is not over goes.
    fn leave(&mut self) {
        let tokens: Vec<String> = self.attempts.keys().cloned().collect();
        for token in tokens {
            if let Some(attempt) = self.attempts.get_mut(&token) {
                attempt.over = true;
            }
            self.remove(&token);
        }
    }
}

/// Everything that is needed to start one attempt.
struct Starting {
    cluster: Cluster,
    hub: Arc<EngineEnd>,
    objects: Arc<FileObjects>,
    settings: PodSettings,
    certificate: String,
    log: PathBuf,
    spec: Arc<JobSpec>,
    secrets: BTreeMap<String, String>,
}

impl Starting {
    async fn start(self) -> Result<(), (FailureClass, String)> {
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
