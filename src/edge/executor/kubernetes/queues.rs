//! Asks Kueue why what is in its queues waits. Who may not read Workloads misses its words, and nothing else.

use super::attempt::{Attempt, Done};
use super::cluster::Cluster;
use super::error::is_denied;
use super::observe::{Queued, is_suspended, queued};
use super::watch::State;
use crate::executor::ExecutorMessage;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The label of a Workload that names its Job (Kueue, "Labels and annotations").
const JOB: &str = "kueue.x-k8s.io/job-uid";
/// The versions that a Workload is served in, the newest first.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
/// How often Kueue is asked: twice before a person hears of a wait.
const PAUSE: Duration = Duration::from_secs(2);
/// Of so many at once: an address has a length.
const AT_ONCE: usize = 100;

const ABSENT: &str = "there is no Kueue in the cluster, so nobody lets it go on";

const DENIED: &str =
    "this account may not list `workloads.kueue.x-k8s.io`: why a queue lets a job wait is not said";

/// When Kueue was asked.
#[derive(Debug, Default)]
pub(super) struct Queues {
    asking: bool,
    asked: Option<Instant>,
    /// That it may not be asked was said.
    denied: bool,
}

/// What came back.
pub(super) enum Answer {
    /// What is known of these Jobs, by UID; nothing of one that Kueue has not taken up.
    Known(BTreeMap<String, Option<Queued>>),
    /// The cluster has no Workloads.
    NoKueue(Vec<String>),
    /// It may not be asked.
    Denied,
    /// It does not answer.
    Nothing,
}

impl State {
    /// Asks of those that were not asked of for the longest time.
    pub(super) fn ask_queues(&mut self) {
        let now = Instant::now();
        if self.queues.asking {
            return;
        }
        let mut waiting: Vec<&mut Attempt> = self.attempts.values_mut().filter(|a| is_queued(a)).collect();
        // Of one that is new, or that just lost its place, a word is waited for.
        let rests = self.queues.asked.is_some_and(|asked| now.duration_since(asked) < PAUSE);
        if waiting.is_empty() || rests && !waiting.iter().any(|attempt| is_awaited(attempt)) {
            return;
        }
        waiting.sort_by_key(|attempt| (!is_awaited(attempt), attempt.queue_asked));
        waiting.truncate(AT_ONCE);
        let uids = waiting.into_iter().filter_map(|attempt| {
            attempt.queue_asked = Some(now);
            attempt.job.as_ref()?.metadata.uid.clone()
        });
        let uids: Vec<String> = uids.collect();
        (self.queues.asking, self.queues.asked) = (true, Some(now));
        let (cluster, done) = (self.cluster.clone(), self.done.clone());
        tokio::spawn(async move {
            let _ = done.send(Done::Queues(ask(&cluster, uids).await));
        });
    }

    /// Takes in the answer.
    pub(super) fn queues_say(&mut self, answer: Answer) {
        self.queues.asking = false;
        if matches!(answer, Answer::Denied) && !std::mem::replace(&mut self.queues.denied, true) {
            (self.sink)(ExecutorMessage::Note { text: DENIED.to_owned() });
        }
        for attempt in self.attempts.values_mut() {
            let Some(uid) = attempt.job.as_ref().and_then(|job| job.metadata.uid.clone()) else { continue };
            match &answer {
                Answer::Known(known) => match known.get(&uid) {
                    Some(Some(said)) => attempt.queued = said.clone(),
                    Some(None) => attempt.queued.waits = not_taken_up(attempt),
                    None => {}
                },
                Answer::NoKueue(uids) if uids.contains(&uid) => {
                    attempt.queued.waits = Some(ABSENT.to_owned());
                }
                Answer::NoKueue(_) | Answer::Denied | Answer::Nothing => {}
            }
        }
    }
}

fn is_queued(attempt: &Attempt) -> bool {
    attempt.spec.pod.queue.is_some() && !attempt.over && attempt.job.as_ref().is_some_and(is_suspended)
}

fn is_awaited(attempt: &Attempt) -> bool {
    attempt.queue_asked.is_none() || attempt.agent && attempt.queued.evicted.is_none()
}

/// Kueue makes a Workload within a moment, but for what it does not like.
fn not_taken_up(attempt: &Attempt) -> Option<String> {
    let class = attempt.spec.pod.queue_priority.as_ref()?;
    Some(format!("Kueue has not taken it up; is there a WorkloadPriorityClass `{class}`?"))
}

async fn ask(cluster: &Cluster, uids: Vec<String>) -> Answer {
    let chosen = ListParams::default().labels(&format!("{JOB} in ({})", uids.join(",")));
    for version in VERSIONS {
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", version, "Workload");
        let resource = ApiResource::from_gvk_with_plural(&kind, "workloads");
        let workloads: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        let found = match workloads.list(&chosen).await {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) if is_denied(&error) => return Answer::Denied,
            Err(_) => return Answer::Nothing,
        };
        let mut known: BTreeMap<String, Option<Queued>> = uids.into_iter().map(|uid| (uid, None)).collect();
        for workload in found.items {
            let labels = workload.metadata.labels.unwrap_or_default();
            if let Some(uid) = labels.get(JOB) {
                known.insert(uid.clone(), Some(queued(&workload.data)));
            }
        }
        return Answer::Known(known);
    }
    Answer::NoKueue(uids)
}
