//! The executor as the engine sees it: a connection to a cluster and its hub, with a thread of its own.
//!
//! Not here: what that thread does (`watch`).

use super::cluster::Cluster;
use super::error::ClusterError;
use super::images::Images;
use super::missed::Server;
use super::pod::{PodSettings, Policy, SpotNodes};
use super::queues::Queues;
use super::shape::HubSettings;
use super::watch::State;
use super::{rights, rules, service};
use crate::executor::{Executor, ExecutorMessage};
use crate::hub::{Connection, EngineEnd, HubEvent, client_config, dial_tcp};
use crate::store::FileObjects;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_flow::job::AgentRequest;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

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
    /// A node that is not ready is waited for this long before what runs there is lost.
    pub node_patience: Duration,
    /// A node, room in a quota or in a queue is waited for this long; `None`: without end.
    pub pending_timeout: Option<Duration>,
    /// An attempt ends that no engine has looked after for this long.
    pub orphan_after: Duration,
    /// What pods may ask for, where the namespace does not say it.
    pub policy: Policy,
    /// How the cluster marks its spot nodes.
    pub spot: SpotNodes,
    /// Secrets of the namespace that images are pulled with.
    pub pull_secrets: Vec<String>,
    /// How the namespace's hub keeps things, if one has to be put up.
    pub hub: HubSettings,
    /// The engine's store: objects and logs.
    pub store: PathBuf,
    /// Its id: a label of everything that is made.
    pub store_id: String,
    /// The run. Jobs of it that are there already are a former engine's.
    pub run: String,
    /// Attempts of a former engine that go on; what else there is of the run goes.
    pub taken_up: BTreeSet<String>,
}

/// The hub is asked this long what it has of cached results; then they are believed.
const HUB_PATIENCE: Duration = Duration::from_secs(20);

/// The hub may take so long to say that it closed the last attempts: one that it does not hear of keeps what these worked
/// with for a week.
const CLOSED: Duration = Duration::from_secs(2);

/// Attempts that are given to the hub at the same time.
const AT_ONCE: usize = 16;

/// What the engine wants.
pub(super) enum Order {
    Requests(Vec<AgentRequest>),
    /// Remove everything and end.
    Stop,
    /// Leave everything as it is and end.
    Abandon,
}

/// A connection to a cluster, with a thread of its own.
pub struct KubernetesExecutor {
    hub: Arc<EngineEnd>,
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// The API server is waited for this long at the start of a run.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How often it is asked.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Hears again and again what is waited for before a run's first job can start; `false`: nobody wants it.
pub type Meanwhile<'a> = dyn FnMut(&str) -> bool + 'a;

/// Where messages go.
pub(super) type Sink = Arc<dyn Fn(ExecutorMessage) + Send + Sync>;

impl KubernetesExecutor {
    /// Connects to the cluster and its hub; `sink` is called in order, from another thread. What is left
    /// there of the store's runs that are `over` is removed. An API server that is away is waited for, for
    /// a minute.
    pub fn start(
        options: KubernetesOptions,
        over: &dyn Fn(&str) -> bool,
        meanwhile: &mut Meanwhile<'_>,
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
        let Connected { cluster, hub, found, policy } =
            runtime.block_on(connect_patiently(&options, over, &heard, meanwhile))?;
        let settings = PodSettings {
            namespace: cluster.namespace.clone(),
            store: options.store_id.clone(),
            agent_image: options.agent_image.clone(),
            image: options.image.clone(),
            hub: found.address.clone(),
            orphan_after: options.orphan_after.as_secs(),
            policy,
            spot: options.spot.clone(),
            pull_secrets: options.pull_secrets.clone(),
        };
        let (done, done_in) = unbounded_channel();
        let closing = hub.clone();
        for text in found.notes {
            sink(ExecutorMessage::Note { text });
        }
        let state = State {
            cluster,
            hub: hub.clone(),
            certificate: found.certificate,
            disk: found.disk,
            settings,
            options,
            objects,
            sink: Arc::from(sink),
            attempts: BTreeMap::new(),
            server: Server::default(),
            no_hub: Some(Instant::now()),
            hub_back: None,
            hub_missed: false,
            hub_trouble: None,
            unlisted: BTreeSet::new(),
            listed_pods: BTreeSet::new(),
            touched: BTreeSet::new(),
            images: Images::default(),
            queues: Queues::default(),
            pushing: Arc::new(Semaphore::new(AT_ONCE)),
            done,
        };
        let thread = std::thread::Builder::new()
            .name("kubernetes".into())
            .spawn(move || {
                runtime.block_on(async {
                    state.run(orders_in, events, done_in).await;
                    let _ = timeout(CLOSED, closed(&closing)).await;
                });
                runtime.shutdown_timeout(Duration::from_secs(1));
            })
            .map_err(wrong("starting a thread"))?;
        Ok(Self { hub, orders, thread: Some(thread) })
    }
}

impl KubernetesExecutor {
    fn end(mut self, how: Order) {
        let _ = self.orders.send(how);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Executor for KubernetesExecutor {
    fn send_all(&self, requests: &[AgentRequest]) -> io::Result<()> {
        self.orders.send(Order::Requests(requests.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn missing(&self, digests: &[String]) -> Vec<String> {
        self.hub.objects.claim_soon(digests, HUB_PATIENCE)
    }

    fn stop(self: Box<Self>) {
        (*self).end(Order::Stop);
    }

    fn abandon(self: Box<Self>) {
        (*self).end(Order::Abandon);
    }
}

/// What stands before the first job can start.
struct Connected {
    cluster: Cluster,
    hub: Arc<EngineEnd>,
    found: service::Found,
    policy: Policy,
}

async fn connect_patiently(
    options: &KubernetesOptions,
    over: &dyn Fn(&str) -> bool,
    heard: &UnboundedSender<HubEvent>,
    meanwhile: &mut Meanwhile<'_>,
) -> Result<Connected, ClusterError> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        let error = match connect(options, over, heard.clone()).await {
            Err(error) if error.is_away() && Instant::now() < until => error,
            done => return done,
        };
        let time = START_PATIENCE.as_secs();
        let text = format!(
            "the cluster's API server does not answer; the run waits for it, {time} s at most ({error}: {})",
            std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
        );
        if !meanwhile(&text) {
            return Err(ClusterError::Stopped);
        }
        sleep(START_PAUSE).await;
    }
}

async fn connect(
    options: &KubernetesOptions,
    over: &dyn Fn(&str) -> bool,
    heard: UnboundedSender<HubEvent>,
) -> Result<Connected, ClusterError> {
    let cluster = Cluster::connect(options.context.as_deref(), options.namespace.as_deref()).await?;
    let address = cluster.address.clone();
    let connected = connect_to(cluster, options, over, heard).await;
    connected.map_err(|source| ClusterError::At { address, source: Box::new(source) })
}

async fn connect_to(
    cluster: Cluster,
    options: &KubernetesOptions,
    over: &dyn Fn(&str) -> bool,
    heard: UnboundedSender<HubEvent>,
) -> Result<Connected, ClusterError> {
    // An engine inside has what `install` gave it.
    let without =
        if cluster.inside { Vec::new() } else { rights::require(&cluster, rights::Purpose::Run).await? };
    let mut found = Box::pin(service::ensure(&cluster, &options.agent_image, &options.hub)).await?;
    found.notes.extend(without);
    let policy = rules::policy(&cluster, &options.policy).await?;
    for kept in cluster.kept_jobs(&options.store_id).await? {
        let own = kept.run.eq_ignore_ascii_case(&options.run);
        if own && !options.taken_up.contains(&kept.attempt) || !own && over(&kept.run) {
            cluster.remove_job(&kept.name).await?;
        }
    }
    let hub = reach_hub(&cluster, &found, &options.store_id, Box::new(move |event| drop(heard.send(event))))?;
    Ok(Connected { cluster, hub, found, policy })
}

/// Waits until the hub has closed what the engine has.
async fn closed(hub: &EngineEnd) {
    while hub.is_closing() {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Connects to a hub for as long as the runtime lives: directly from inside the cluster, else through the
/// API server.
pub(super) fn reach_hub(
    cluster: &Cluster,
    found: &service::Found,
    store: &str,
    sink: Box<dyn Fn(HubEvent) + Send + Sync>,
) -> Result<Arc<EngineEnd>, ClusterError> {
    let hub = EngineEnd::new(&found.key, store, sink);
    let tls = client_config(&found.certificate)
        .map_err(|source| ClusterError::Io { doing: "the hub's certificate", source })?;
    let address = found.address.parse::<SocketAddr>().ok().filter(|_| cluster.inside);
    let dial = address.map_or_else(|| service::dial(cluster), dial_tcp);
    let (connection, keep_up) = Connection::new(dial, tls, hub.clone());
    hub.connect(connection);
    tokio::spawn(keep_up);
    Ok(hub)
}
