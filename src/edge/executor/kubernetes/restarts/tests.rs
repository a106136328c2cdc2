//! Receipts that are kept back for a word about services, in a loop that nobody drives.

use super::super::attempt::Attempt;
use super::super::cluster::Cluster;
use super::super::executor::KubernetesOptions;
use super::super::images::Images;
use super::super::missed::Server;
use super::super::pod::{PodSettings, Policy, SpotNodes};
use super::super::queues::Queues;
use super::super::ranks::token_of;
use super::super::shape::{Disk, HubSettings};
use super::*;
use crate::hub::{EngineEnd, HubEvent};
use crate::store::FileObjects;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tidegate_flow::job::{AgentRequest, JobSpec, Masks, PodRequest, ServiceSpec};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

const TOKEN: &str = "r.0.1";

/// A loop with one attempt, whose cluster and hub do not answer.
struct World {
    state: State,
    said: Arc<Mutex<Vec<String>>>,
    _store: TempDir,
    _runtime: Runtime,
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
    fn new(nodes: u32) -> Self {
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
            listed: BTreeSet::new(),
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
        Self { state, said, _store: store, _runtime: runtime }
    }

    fn attempt(&mut self) -> &mut Attempt {
        self.state.attempts.get_mut(TOKEN).unwrap()
    }

    fn ends(&mut self, rank: u32, receipt: Receipt) {
        let message =
            JobMessage { token: token_of(TOKEN, rank), seq: 9, at: 0, body: MessageBody::Ended(receipt) };
        self.state.hear(HubEvent::Message(message));
        self.state.look();
    }

    /// The API server tells that the service of a pod has ended so often.
    fn service_ends(&mut self, rank: u32, times: u32) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": {
            "initContainerStatuses": [{"name": "service-db", "image": "i", "imageID": "", "ready": true, "restartCount": times,
                "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}}}],
            "containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}}}],
        }}))
        .unwrap();
        match rank {
            0 => self.attempt().pod = Some(pod),
            rank => drop(self.attempt().others.insert(rank, pod)),
        }
        self.state.tell_services(TOKEN, rank);
    }

    /// Nobody has told of a service in time.
    fn time_is_over(&mut self) {
        self.state.pass_on_failures(TOKEN, Instant::now() + TOLD_PATIENCE);
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

fn failed(class: FailureClass, reason: &str) -> Receipt {
    Receipt { failed_step: Some(0), ..Receipt::bare(Conclusion::Failure, Some(class), reason.into()) }
}

fn exit() -> Receipt {
    failed(FailureClass::Failure, "exit 3")
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_failed_step_waits_for_a_word_about_services_for_so_long() {
    let mut world = World::new(0);
    world.ends(0, exit());
    assert_eq!(world.said(), NOTHING);
    world.state.pass_on_failures(TOKEN, Instant::now());
    world.ends(0, exit());
    assert_eq!(world.said(), NOTHING, "said again");
    world.time_is_over();
    assert_eq!(world.said(), ["failure: exit 3"]);
    world.time_is_over();
    world.ends(0, exit());
    assert_eq!(world.said(), NOTHING, "once");
}

#[test]
fn a_failed_step_comes_out_with_the_end_of_a_service() {
    let mut world = World::new(0);
    world.ends(0, exit());
    world.service_ends(0, 2);
    let told = "None 2 the service `db` ended with exit 7 while steps ran (2 times), and is started again";
    assert_eq!(world.said(), [told]);
    world.service_ends(0, 2);
    assert_eq!(world.said(), NOTHING, "each end once");
    world.state.touched.insert(TOKEN.into());
    world.state.look();
    assert_eq!(
        world.said(),
        ["failure: exit 3; the service `db` ended with exit 7 while steps ran (2 times)"]
    );
    // Known before.
    let mut world = World::new(0);
    world.service_ends(0, 1);
    world.ends(0, exit());
    let wanted = "failure: exit 3; the service `db` ended with exit 7 while steps ran";
    assert_eq!(world.said().last().unwrap(), wanted);
}

#[test]
fn a_failed_step_comes_out_when_nobody_can_tell_of_a_service() {
    let mut world = World::new(0);
    world.ends(0, exit());
    world.attempt().pod_gone = true;
    world.state.pass_on_failures(TOKEN, Instant::now());
    assert_eq!(world.said(), ["failure: exit 3"]);
    // Told to leave before it failed.
    let mut world = World::new(0);
    world.state.request(AgentRequest::Cancel { token: TOKEN.into(), reason: "no more".into() });
    world.ends(0, exit());
    assert_eq!(world.said(), ["failure: exit 3"]);
}

#[test]
fn what_no_service_can_be_the_cause_of_does_not_wait() {
    for (receipt, wanted) in [
        (failed(FailureClass::Gate, "acc < 0.9"), "gate: acc < 0.9"),
        (failed(FailureClass::Timeout, "timed out"), "timeout: timed out"),
        (
            Receipt::bare(Conclusion::Failure, Some(FailureClass::Failure), "no step".into()),
            "failure: no step",
        ),
        (Receipt::bare(Conclusion::Success, None, String::new()), "-: "),
    ] {
        let mut world = World::new(0);
        world.ends(0, receipt);
        assert_eq!(world.said(), [wanted]);
    }
}

/// Else steps that failed by themselves would run again, on the budget of the infrastructure.
#[test]
fn a_failure_that_is_kept_back_counts_more_than_what_becomes_of_its_job() {
    let kill = || AgentRequest::Kill { token: TOKEN.into() };
    let mut world = World::new(0);
    world.ends(0, exit());
    world.state.job_is_gone(TOKEN);
    assert_eq!(world.said(), ["failure: exit 3"]);
    let mut world = World::new(0);
    world.ends(0, exit());
    world.state.request(kill());
    assert_eq!(world.said(), ["failure: exit 3"]);
    // Taken up, and killed before the hub has said all of it.
    let mut world = World::new(0);
    world.ends(0, exit());
    world.attempt().asked = Some(Vec::new());
    world.state.request(kill());
    assert_eq!(world.said(), ["failure: exit 3"]);
    let mut world = World::new(2);
    world.ends(1, exit());
    world.state.job_is_gone(TOKEN);
    assert_eq!(world.said(), ["failure: node 1: exit 3"]);
    // Without a receipt all is as it was.
    let mut world = World::new(0);
    world.state.job_is_gone(TOKEN);
    assert_eq!(world.said(), ["lost: its Job was removed by somebody else"]);
}

#[test]
fn of_several_nodes_the_failure_counts_that_came_first() {
    for (class, reason) in [
        (FailureClass::Timeout, "timed out"),
        (FailureClass::Gate, "acc < 0.9"),
        (FailureClass::Data, "no rows"),
        (FailureClass::Oom, "killed"),
    ] {
        let mut world = World::new(3);
        world.ends(1, exit());
        world.ends(2, failed(class, reason));
        world.ends(2, failed(class, reason));
        world.ends(0, Receipt::bare(Conclusion::Success, None, String::new()));
        assert_eq!(world.said(), NOTHING);
        world.time_is_over();
        assert_eq!(world.said(), ["failure: node 1: exit 3"], "{reason}");
    }
    // One of which the cluster has to say why it ended.
    let mut world = World::new(2);
    world.ends(1, exit());
    world.attempt().replaced = true;
    world.ends(0, failed(FailureClass::Lost, "gone"));
    assert_eq!(world.said(), NOTHING);
    world.time_is_over();
    assert_eq!(world.said(), ["failure: node 1: exit 3"]);
}

#[test]
fn of_several_nodes_the_one_is_named_whose_service_ended() {
    let mut world = World::new(2);
    world.service_ends(0, 1);
    world.service_ends(1, 3);
    let told = [
        "Some(0) 1 the service `db` of node 0 ended with exit 7 while steps ran, and is started again",
        "Some(1) 3 the service `db` of node 1 ended with exit 7 while steps ran (3 times), and is started again",
    ];
    assert_eq!(world.said(), told);
    world.ends(1, exit());
    world.ends(0, Receipt::bare(Conclusion::Cancelled, None, "ended".into()));
    let wanted = "failure: node 1: exit 3; the service `db` of node 0 ended with exit 7 while steps ran; the service `db` \
                  of node 1 ended with exit 7 while steps ran (3 times)";
    assert_eq!(world.said(), [wanted]);
}
