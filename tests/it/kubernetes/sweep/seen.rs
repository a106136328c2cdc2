//! What the cluster's own watches saw of a sweep: every Job and every pod that ever was, whatever an engine says of it.

use super::super::{command, kubectl_program, wait};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// A Job or a pod by its UID: what it is, and whether it is gone.
type Objects = BTreeMap<String, (Thing, bool)>;

/// What a Job or a pod is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thing {
    store: String,
    /// Job or Pod, job, attempt, rank: the same in every run of a workflow.
    role: String,
    /// The instance's number, which is not.
    instance: String,
}

/// Watches of one namespace.
pub struct Watched {
    watches: Vec<Child>,
    objects: Arc<Mutex<Objects>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        for watch in &mut self.watches {
            let _ = (watch.kill(), watch.wait());
        }
    }
}

impl Watched {
    pub fn new(namespace: &str) -> Self {
        let objects = Arc::<Mutex<Objects>>::default();
        let watch = |what: &str| {
            let args = ["get", what, "-n", namespace, "-l", "tidegate.dev/store", "--watch"];
            let mut child = command(&kubectl_program(), &args)
                .args(["--output-watch-events", "-o", "json"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (out, objects) = (child.stdout.take().unwrap(), objects.clone());
            std::thread::spawn(move || {
                for event in serde_json::Deserializer::from_reader(out).into_iter::<Json>() {
                    let Ok(event) = event else { return };
                    let (uid, thing) = thing(&event["object"]);
                    let gone = event["type"] == "DELETED";
                    objects.lock().unwrap().insert(uid, (thing, gone));
                }
            });
            child
        };
        Self { watches: vec![watch("jobs"), watch("pods")], objects }
    }

    /// What there was of a store, each kind of it with how many of it, once all of it is seen to be gone. No attempt of an
    /// instance had two Jobs, nor two pods of one rank.
    #[track_caller]
    pub fn of(&mut self, store: &str) -> BTreeMap<String, usize> {
        for watch in &mut self.watches {
            assert!(watch.try_wait().unwrap().is_none(), "a watch has ended");
        }
        wait("the watches saw all of it go", || {
            let objects = self.objects.lock().unwrap();
            objects.values().all(|(thing, gone)| thing.store != store || *gone).then_some(())
        });
        let objects = self.objects.lock().unwrap();
        let (mut counts, mut once) = (BTreeMap::new(), BTreeSet::new());
        for (thing, _) in objects.values().filter(|(thing, _)| thing.store == store) {
            assert!(once.insert(thing), "made twice: {thing:?}");
            *counts.entry(thing.role.clone()).or_default() += 1;
        }
        counts
    }
}

fn thing(object: &Json) -> (String, Thing) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let label = |name: &str| text(&format!("/metadata/labels/{}", name.replace('/', "~1")));
    let rank = label("batch.kubernetes.io/job-completion-index");
    let role =
        format!("{} {} {} {rank}", text("/kind"), label("tidegate.dev/job"), label("tidegate.dev/attempt"));
    let thing = Thing { store: label("tidegate.dev/store"), role, instance: label("tidegate.dev/instance") };
    (text("/metadata/uid"), thing)
}
