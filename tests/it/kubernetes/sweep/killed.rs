//! An engine that is killed with 9 at the moments that it is told, or kills the hub at them, or both.

use super::super::{cluster, kubectl};
use crate::in_process::by_hand;
use crate::trace::names;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tidegate::app::engine::{BackEnd, ClusterSettings, Door, Engine, Machine, Observer, Site};
use tidegate_edge::executor::kubernetes::HubSettings;
use tidegate_edge::store::{FaultyLog, Hook, Moment, RunLog as _, Store};
use tidegate_flow::run::{EventKind, RunEvent};

/// Names the file that says what is to happen.
pub const PLAN: &str = "TIDEGATE_TEST_SWEEP";

/// Who does not survive a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Engine,
    Hub,
    Both,
}

/// What is to happen to one run.
pub struct Plan {
    /// The project's folder.
    pub root: PathBuf,
    /// Moments that came are noted here, a line each.
    pub came: PathBuf,
    /// Where it runs.
    pub namespace: String,
    /// The storage class of the hub's volume; empty: the namespace's hub as it is.
    pub class: String,
    pub who: Who,
    /// Moments that are still to come, as [`moments`] names them.
    pub moments: BTreeSet<String>,
    /// Whether the run is cancelled once two instances are at a step.
    pub cancel: bool,
}

impl Plan {
    pub fn write(&self, to: &Path) {
        let who = format!("{:?}", self.who);
        let plan = json!({
            "root": self.root, "came": self.came, "namespace": self.namespace, "class": self.class, "who": who,
            "moments": self.moments, "cancel": self.cancel,
        });
        std::fs::write(to, plan.to_string()).unwrap();
    }

    fn read() -> Self {
        let file = std::env::var(PLAN).expect("called by a test");
        let plan: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let text = |key: &str| plan[key].as_str().unwrap().to_owned();
        let who = [Who::Engine, Who::Hub, Who::Both];
        Self {
            root: text("root").into(),
            came: text("came").into(),
            namespace: text("namespace"),
            class: text("class"),
            who: *who.iter().find(|who| format!("{who:?}") == text("who")).unwrap(),
            moments: serde_json::from_value(plan["moments"].clone()).unwrap(),
            cancel: plan["cancel"].as_bool().unwrap(),
        }
    }

    fn settings(&self) -> ClusterSettings {
        let volume = (!self.class.is_empty()).then(|| "1Gi".to_owned());
        ClusterSettings {
            namespace: Some(self.namespace.clone()),
            agent_image: format!("docker.io/tidegate/tidegate:{}", env!("CARGO_PKG_VERSION")),
            hub: HubSettings {
                storage_class: volume.as_ref().map(|_| self.class.clone()),
                volume,
                ..HubSettings::default()
            },
            ..ClusterSettings::default()
        }
    }

    /// What happens around each write of a log that has these events already.
    fn hook(mut self, mut log: Vec<RunEvent>) -> Hook {
        Box::new(move |moment, events| {
            let known = log.len();
            let all: Vec<RunEvent> = log.iter().chain(events).cloned().collect();
            if moment == Moment::After {
                log.clone_from(&all);
            }
            let word = if moment == Moment::Before { "before" } else { "after" };
            let now = names(&printed(&all)).split_off(known);
            let mut came: Vec<String> =
                now.into_iter().flatten().map(|name| format!("{word} {name}")).collect();
            came.retain(|moment| self.moments.contains(moment));
            if moment == Moment::Before && self.who != Who::Hub {
                // What was not written comes again, and the others with it.
                came.truncate(1);
            }
            if came.is_empty() {
                return;
            }
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.came).unwrap();
            for moment in came {
                writeln!(file, "{moment}").unwrap();
                self.moments.remove(&moment);
            }
            if self.who != Who::Engine {
                kill_hub(&self.namespace, !self.moments.len().is_multiple_of(2));
            }
            if self.who != Who::Hub {
                let this = rustix::process::getpid();
                rustix::process::kill_process(this, rustix::process::Signal::KILL).unwrap();
            }
        })
    }
}

/// Every moment that an engine can die at: before and after each event.
pub fn moments(names: &[String]) -> Vec<String> {
    ["before", "after"]
        .iter()
        .flat_map(|word| names.iter().map(move |name| format!("{word} {name}")))
        .collect()
}

/// A log as `--format json` prints it.
pub fn printed(log: &[RunEvent]) -> String {
    log.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect()
}

/// Kills the process of a namespace's hub. A kubelet lets a container wait that ends again and again, and a new pod's
/// none: `replaced` takes the pod away as well. What is on the hub's volume stays.
fn kill_hub(namespace: &str, replaced: bool) {
    let chosen = ["-n", namespace, "-l", "app.kubernetes.io/name=tidegate-hub"];
    let uids = [&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"], chosen.as_slice()].concat();
    let uids = kubectl(&uids);
    for uid in uids.split_whitespace() {
        let script = format!(
            "for p in $(pgrep -f '[t]idegate hub'); do grep -q {uid} /proc/$p/cgroup && kill -9 $p; done; true"
        );
        cluster(&["enter", "sh", "-c", &script]);
    }
    if replaced {
        let gone = ["delete", "pods", "--force", "--grace-period=0", "--wait=false"];
        kubectl(&[gone.as_slice(), &chosen].concat());
    }
}

/// Cancels a run whose two first instances are at a step, if nobody did.
#[derive(Default)]
struct Canceller {
    door: Option<Door>,
    at_a_step: BTreeSet<u32>,
    done: bool,
}

impl Canceller {
    fn look(&mut self) {
        if self.at_a_step.len() == 2
            && !self.done
            && let Some(door) = &self.door
        {
            door.cancel("ctrl-c");
            self.done = true;
        }
    }
}

/// Passes the canceller what happens.
struct Watch {
    cancel: bool,
    canceller: Arc<Mutex<Canceller>>,
}

impl Observer for Watch {
    fn event(&mut self, event: &RunEvent) {
        let mut canceller = self.canceller.lock().unwrap();
        match &event.kind {
            EventKind::StepStarted { instance, .. } if self.cancel => {
                canceller.at_a_step.insert(instance.0);
            }
            EventKind::CancelRequested { .. } => canceller.done = true,
            _ => return,
        }
        canceller.look();
    }

    fn warn(&mut self, _text: &str) {}
}

/// Begins or takes up the only run of a store. Says `it ended` if it came that far.
#[test]
#[ignore = "called by the tests of the sweep, a process for each life of an engine"]
fn an_engine_with_a_fault() {
    let plan = Plan::read();
    let store = Store::open(&plan.root.join(".tidegate")).unwrap();
    let there = store.find("1").unwrap();
    let log = there.as_ref().map_or_else(Vec::new, |row| store.events(&row.run, 0).unwrap());
    if log.iter().any(|event| matches!(event.kind, EventKind::RunEnded(_))) {
        println!("it had ended");
        return;
    }
    let (root, cancel, settings) = (plan.root.clone(), plan.cancel, plan.settings());
    let hook = plan.hook(log);
    let mut site = Site::new(Machine::here(Some(64), Some(0)), false);
    site.back_end = BackEnd::Kubernetes(settings);
    site.log = Some(Box::new(move |store| Box::new(FaultyLog::hooked(store, hook))));
    let canceller = Arc::<Mutex<Canceller>>::default();
    let mut watch = Watch { cancel, canceller: canceller.clone() };
    let engine = match there {
        None => Engine::start(&by_hand(&root, None), site, &mut watch),
        Some(_) => Engine::resume(&root, store, "1", std::collections::BTreeMap::new(), site, &mut watch),
    };
    let engine = engine.unwrap();
    let mut waiting = canceller.lock().unwrap();
    waiting.door = Some(engine.door());
    waiting.look();
    drop(waiting);
    engine.finish().unwrap();
    println!("it ended");
}
