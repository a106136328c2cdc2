//! What is known of an attempt while it has a Job.

use super::images::is_final;
use super::observe::{Bound, Death, Queued, Seen, Telling, Waiting, death, is_set_up, is_suspended, seen};
use super::queues;
use super::quotes::{Quote, Rest};
use super::ranks::{Ranks, token_of};
use super::restarts::Services;
use crate::hub::EngineEnd;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tidegate_flow::job::{AgentRequest, FailureClass, JobMessage, JobSpec, Masks};
use tokio::time::Instant;

/// Kueue may take this long to say why it took a place away.
const WHY_PATIENCE: Duration = Duration::from_secs(3);

/// One attempt.
pub(super) struct Attempt {
    pub(super) spec: Arc<JobSpec>,
    pub(super) name: String,
    pub(super) job: Option<Job>,
    pub(super) pod: Option<Pod>,
    /// Pods of the ranks above 0.
    pub(super) others: BTreeMap<u32, Pod>,
    /// What the pods say together.
    pub(super) ranks: Ranks,
    /// When ranks that were ended for another have to be gone.
    pub(super) end_by: Option<Instant>,
    /// The receipt was passed on, or somebody else's word about the end.
    pub(super) over: bool,
    /// Since when its end is seen, without a receipt.
    pub(super) ended: Option<Instant>,
    /// The engine has the end in its log: only now may be removed what another engine would need to hear of it.
    pub(super) logged: bool,
    /// What ends its wait, and since when it waits.
    pub(super) since: Option<(Bound, Instant)>,
    /// What its pod lacks, as an event says.
    pub(super) not_set_up: Option<Waiting>,
    /// Why its Job is not taken for now.
    pub(super) not_taken: Option<Waiting>,
    /// What Kueue says of it, and when it was asked.
    pub(super) queued: Queued,
    pub(super) queue_asked: Option<Instant>,
    /// Why the cluster makes no pod for it, as its events say.
    pub(super) not_made: Option<Result<Waiting, Death>>,
    /// Since when the nodes of its pods are away, by rank.
    pub(super) nodes_away: BTreeMap<u32, Instant>,
    /// The pod in which an agent came was followed by another one.
    pub(super) replaced: bool,
    /// Since when its receipt is out that lacks the digest of an image.
    pub(super) untold: Option<Instant>,
    /// Its Job was removed.
    pub(super) job_gone: bool,
    /// Ranks whose pods were there and are not any more.
    pub(super) gone: BTreeSet<u32>,
    /// Ends that nobody here asked for; the cluster may say why in a moment.
    pub(super) held: Vec<(JobMessage, Instant)>,
    /// A task makes its Job, and stops when it is told so.
    pub(super) starting: bool,
    pub(super) stop: Arc<AtomicBool>,
    /// Questions of agents why their container ended, by rank, and when they were asked.
    pub(super) questions: BTreeMap<u32, (u64, Instant)>,
    /// When it has to be gone.
    pub(super) leave_by: Option<Instant>,
    /// A former engine may have started it.
    pub(super) taken_up: bool,
    /// What is asked of it waits until it is known what there is of it.
    pub(super) asked: Option<Vec<AgentRequest>>,
    /// An agent came.
    pub(super) agent: bool,
    pub(super) removed: bool,
    /// What was said of its waits.
    pub(super) telling: Telling,
    /// What became of its services under the steps.
    pub(super) services: Services,
    /// The last lines of the container that it failed of.
    pub(super) quote: Quote,
    /// The end of its log, where its agent was killed.
    pub(super) rest: Rest,
    /// What must not be read in them.
    pub(super) masks: Masks,
}

impl Attempt {
    /// One that is about to start.
    pub(super) fn new(spec: Arc<JobSpec>, name: String, taken_up: bool, masks: Masks) -> Self {
        Self {
            name,
            ranks: Ranks::new(spec.pod.nodes),
            spec,
            job: None,
            pod: None,
            others: BTreeMap::new(),
            end_by: None,
            over: false,
            ended: None,
            logged: false,
            since: None,
            not_set_up: None,
            not_taken: None,
            queued: Queued::default(),
            queue_asked: None,
            not_made: None,
            nodes_away: BTreeMap::new(),
            replaced: false,
            untold: None,
            job_gone: false,
            gone: BTreeSet::new(),
            held: Vec::new(),
            starting: true,
            stop: Arc::default(),
            questions: BTreeMap::new(),
            leave_by: None,
            taken_up,
            asked: taken_up.then(Vec::new),
            agent: false,
            removed: false,
            telling: Telling::default(),
            services: Services::default(),
            quote: Quote::default(),
            rest: Rest::default(),
            masks,
        }
    }
}

impl Attempt {
    /// Tells whether Kueue may still say why it suspended the Job, which it did so long ago.
    pub(super) fn awaits_kueue(&self, since: Duration) -> bool {
        since < WHY_PATIENCE
            && self.queued.evicted.is_none()
            && self.spec.pod.queue.is_some()
            && self.job.as_ref().is_some_and(is_suspended)
    }

    /// Why it lost its place: its Job was suspended.
    pub(super) fn preempted(&self) -> Death {
        let reason = match &self.queued.evicted {
            Some(said) => format!("its Job was suspended by Kueue, and its pod taken away: {said}"),
            None => "its Job was suspended, by Kueue or by hand, and its pod taken away".to_owned(),
        };
        Death { class: FailureClass::Preempted, exit: None, reason }
    }

    /// Tells whether a receipt of this token is here already: said again it changes nothing.
    pub(super) fn has_receipt(&self, token: &str) -> bool {
        self.over || self.services.holds(token) || self.held.iter().any(|(held, _)| held.token == token)
    }

    /// The pod of a rank.
    pub(super) fn pod_of(&self, rank: u32) -> Option<&Pod> {
        if rank == 0 { self.pod.as_ref() } else { self.others.get(&rank) }
    }

    /// Tells whether the agent of a node came, as far as the hub has said.
    pub(super) fn came(&self, rank: u32, hub: &EngineEnd) -> bool {
        match self.spec.pod.nodes {
            0 => self.agent,
            _ => hub.has_agent(&token_of(&self.spec.token, rank)),
        }
    }

    /// A rank is heard to end, at this time by some clock. Of one that is taken up, each rank is heard by itself, and
    /// clocks have to tell; else what is heard first was first.
    pub(super) fn ends_at(&mut self, rank: u32, at: i64) {
        self.ranks.ends_at(rank, if self.taken_up { at } else { 0 });
    }

    /// Takes over how the pod of a rank is now.
    pub(super) fn is(&mut self, rank: u32, pod: Pod) {
        if rank == 0 {
            self.pod = Some(pod);
        } else {
            self.others.insert(rank, pod);
        }
    }

    /// Its pods that were seen, with their ranks.
    pub(super) fn pods(&self) -> impl Iterator<Item = (u32, &Pod)> {
        self.pod.iter().map(|pod| (0, pod)).chain(self.others.iter().map(|(rank, pod)| (*rank, pod)))
    }

    /// Its pods that are still there, with their ranks.
    pub(super) fn pods_there(&self) -> impl Iterator<Item = (u32, &Pod)> {
        self.pods().filter(|(rank, _)| !self.gone.contains(rank))
    }

    /// Tells whether the volumes of all its pods are mounted.
    pub(super) fn is_set_up(&self) -> bool {
        self.pod.is_some() && self.pods().all(|(_, pod)| is_set_up(pod))
    }

    /// Tells whether the cluster has not made all of its pods yet.
    pub(super) fn lacks_pods(&self) -> bool {
        self.pods().count() < usize::try_from(self.spec.pod.nodes.max(1)).unwrap_or(usize::MAX)
    }

    /// Takes over whether the node of a pod is away.
    pub(super) fn node_is(&mut self, rank: u32, away: bool) {
        if away {
            self.nodes_away.entry(rank).or_insert_with(Instant::now);
        } else {
            self.nodes_away.remove(&rank);
        }
    }

    /// What is seen of the Job and its pods: of several what counts most, and whose it is. What becomes of a pod whose
    /// receipt is here says nothing.
    pub(super) fn seen(&self) -> Option<(Option<u32>, Seen)> {
        let job = self.job.as_ref()?;
        // A pod that went with the place of its Job is none.
        let took_place =
            |rank: u32, pod: &Pod| is_suspended(job) && self.gone.contains(&rank) && !is_final(pod);
        let each = self.pods().filter(|(rank, pod)| !self.ranks.is_done(*rank) && !took_place(*rank, pod));
        let each = each.map(|(rank, pod)| {
            let seen = seen(job, Some(pod), &self.spec);
            let own = !matches!(seen, Seen::Ended(_)) || is_final(pod) || death(pod, &self.spec).is_some();
            (weight(&seen, own), own.then_some(rank), seen)
        });
        let (whose, seen) = match each.min_by_key(|(weight, ..)| *weight) {
            Some((_, whose, seen)) => (whose, seen),
            None => (None, seen(job, None, &self.spec)),
        };
        let seen = match (seen, &self.spec.pod.queue) {
            (Seen::Waiting(Waiting::Suspended(_)), Some(queue)) => self.in_queue(queue),
            (seen, _) => seen,
        };
        Some((whose, seen))
    }

    /// That its queue does not let it go.
    fn in_queue(&self, queue: &str) -> Seen {
        let words = match &self.queued.waits {
            Some(said) => format!("it waits in the queue `{queue}`: {said}"),
            None => format!("it waits in the queue `{queue}` until there is room"),
        };
        Seen::Waiting(Waiting::Suspended(words))
    }
}

/// What counts most of several pods, as the lowest number: an end, first one that may be the cause of the others, and of
/// such the pod's own word (`own`) before that of the Job; then what is waited for only so long.
fn weight(seen: &Seen, own: bool) -> u8 {
    match seen {
        Seen::Ended(death) => 2 * u8::from(death.class == FailureClass::Lost) + u8::from(!own),
        Seen::Waiting(waits) => match waits.bound() {
            Bound::Image => 4,
            Bound::Pending => 5,
            Bound::Nothing => 6,
        },
        Seen::Going => 7,
    }
}

/// What a task of an attempt has finished.
pub(super) enum Done {
    Started {
        token: String,
        result: Result<(), (FailureClass, String)>,
    },
    /// Its Job is there: the watch may not have told of it yet, or never will.
    Made {
        token: String,
        job: Box<Job>,
    },
    /// It cannot start yet.
    Waits {
        token: String,
        why: Waiting,
    },
    /// The last lines of the container that it failed of, were read.
    Quoted {
        token: String,
        lines: Vec<String>,
    },
    /// Its Job was removed; of one that was told to leave, the pods that the cluster still has.
    Removed {
        token: String,
        left: Vec<Pod>,
    },
    /// The logs of agents that were killed, by rank, as far as the cluster has them.
    Rest {
        token: String,
        texts: Vec<(u32, String)>,
    },
    /// The API server answers, after a time when it did not.
    Answers,
    /// Kueue was asked.
    Queues(queues::Answer),
}
