//! A loop with one attempt that nobody drives, for the tests of what it does with news. No test lives here.

use super::attempt::Attempt;
use super::cluster::{ATTEMPT, Cluster};
use super::executor::KubernetesOptions;
use super::images::Images;
use super::missed::Server;
use super::pod::{PodSettings, Policy, SpotNodes};
use super::pods::RANK;
use super::queues::Queues;
use super::ranks::token_of;
use super::shape::{Disk, HubSettings};
use super::watch::State;
use crate::executor::ExecutorMessage;
use crate::hub::{Connection, Dial, EngineEnd, HubEvent, Identity, Peer as _, client_config};
use crate::store::FileObjects;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_flow::job::{
    FailureClass, JobMessage, JobSpec, Masks, MessageBody, PodRequest, Receipt, ServiceSpec,
};
use tidegate_flow::wire::v1::FromHub;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// The only attempt.
pub(super) const TOKEN: &str = "r.0.1";

/// A loop with one attempt, whose cluster and hub do not answer.
pub(super) struct World {
    pub(super) state: State,
    said: Arc<Mutex<Vec<String>>>,
    store: TempDir,
    runtime: Runtime,
}

/// What the engine hears, in few words.
fn words(message: ExecutorMessage) -> String {
    let receipt = |receipt: &Receipt| {
        let class = receipt.class.map_or("-", FailureClass::word);
        format!("{class}: {}", receipt.reason.as_deref().unwrap_or_default())
    };
    match message {
        ExecutorMessage::Job(JobMessage { body: MessageBody::Ended(ended), .. }) => receipt(&ended),
        ExecutorMessage::Ended { receipt: ended, .. } => receipt(&ended),
        ExecutorMessage::ServiceEnded { node, times, reason, .. } => format!("{node:?} {times} {reason}"),
        other => format!("{other:?}"),
    }
}

fn options(store: &TempDir) -> KubernetesOptions {
    KubernetesOptions {
        context: None,
        namespace: None,
        agent_image: String::new(),
        image: String::new(),
        image_patience: Duration::from_mins(1),
        node_patience: Duration::from_mins(1),
        pending_timeout: None,
        orphan_after: Duration::from_hours(1),
        policy: Policy::default(),
        spot: SpotNodes::default(),
        pull_secrets: Vec::new(),
        hub: HubSettings::default(),
        store: store.path().to_owned(),
        store_id: String::new(),
        run: "r".into(),
        taken_up: BTreeSet::new(),
    }
}

impl World {
    pub(super) fn new(nodes: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let store = tempfile::tempdir().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        let mut state = State {
            cluster: Cluster {
                client: kube::Client::try_from(config).unwrap(),
                namespace: "ml".into(),
                address: String::new(),
                inside: false,
            },
            hub: EngineEnd::new("key", "store", Box::new(|_| {})),
            certificate: String::new(),
            disk: Disk::EmptyDir,
            settings: PodSettings::default(),
            options: options(&store),
            objects: Arc::new(FileObjects::open(store.path()).unwrap()),
            sink: Arc::new(move |message| heard.lock().unwrap().push(words(message))),
            attempts: BTreeMap::new(),
            server: Server::default(),
            no_hub: None,
            hub_back: None,
            hub_missed: false,
            hub_trouble: None,
            unlisted: BTreeSet::new(),
            listed_pods: BTreeSet::new(),
            touched: BTreeSet::new(),
            images: Images::default(),
            queues: Queues::default(),
            pushing: Arc::new(Semaphore::new(1)),
            done: tokio::sync::mpsc::unbounded_channel().0,
        };
        let service = ServiceSpec { name: "db".into(), ..ServiceSpec::default() };
        let pod = PodRequest { nodes, services: vec![service], ..PodRequest::default() };
        let spec = Arc::new(JobSpec { token: TOKEN.into(), pod, ..JobSpec::default() });
        let mut attempt = Attempt::new(spec, "job".into(), false, Masks::default());
        attempt.agent = true;
        state.attempts.insert(TOKEN.into(), attempt);
        Self { state, said, store, runtime }
    }

    pub(super) fn attempt(&mut self) -> &mut Attempt {
        self.state.attempts.get_mut(TOKEN).unwrap()
    }

    /// The same without services.
    pub(super) fn plain(nodes: u32) -> Self {
        let mut world = Self::new(nodes);
        Arc::make_mut(&mut world.attempt().spec).pod.services.clear();
        world
    }

    fn log_path(&self, rank: u32) -> PathBuf {
        self.store.path().join(format!("log-{rank}"))
    }

    /// The log of a rank whose agent came.
    pub(super) fn log(&self, rank: u32) -> String {
        std::fs::read_to_string(self.log_path(rank)).unwrap_or_default()
    }

    /// Does it to its end.
    pub(super) fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Does what starts tasks, which nobody drives.
    pub(super) fn inside<T>(&mut self, work: impl FnOnce(&mut State) -> T) -> T {
        let _inside = self.runtime.enter();
        work(&mut self.state)
    }

    /// The agent of a rank comes.
    pub(super) fn comes(&mut self, rank: u32) {
        let (hub, attempt) = (self.state.hub.clone(), token_of(TOKEN, rank));
        hub.open(&attempt, "secret", "", &self.log_path(rank));
        let tls = client_config(&Identity::generate().unwrap().certificate).unwrap();
        let nobody: Dial = Box::new(|| Box::pin(async { Err(std::io::ErrorKind::NotConnected.into()) }));
        let (connection, _) = Connection::new(nobody, tls, hub.clone());
        let came = || ("pod".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let (incarnation, version) = came();
        hub.hear(&connection, FromHub::Agent { attempt: attempt.clone(), incarnation, version }, Vec::new());
        let (incarnation, version) = came();
        self.state.hear(HubEvent::Agent { attempt, incarnation, version });
    }

    /// The API server tells how the Job is.
    pub(super) fn job_is(&mut self, spec: &Json, conditions: &Json) {
        let job = json!({"metadata": {}, "spec": spec, "status": {"conditions": conditions}});
        self.attempt().job = Some(serde_json::from_value(job).unwrap());
    }

    /// The API server tells how the pod of a rank is.
    pub(super) fn pod_is(&mut self, rank: u32, status: Json) {
        let name = format!("job-{rank}-x");
        let annotations = json!({ATTEMPT: TOKEN, RANK: rank.to_string()});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "uid": name, "annotations": annotations},
            "spec": {"nodeName": format!("gpu-{rank}"), "containers": []},
            "status": status,
        }))
        .unwrap();
        self.state.pod_is(pod);
    }

    /// A rank ends.
    pub(super) fn ends(&mut self, rank: u32, receipt: Receipt) {
        let message =
            JobMessage { token: token_of(TOKEN, rank), seq: 9, at: 0, body: MessageBody::Ended(receipt) };
        self.state.hear(HubEvent::Message(message));
        self.state.look();
    }

    /// What the engine heard since it was asked last.
    pub(super) fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}
