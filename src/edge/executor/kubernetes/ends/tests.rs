//! Ends that the cluster tells, of one pod of several above all.

use super::super::world::{TOKEN, World};
use super::*;
use serde_json::{Value as Json, json};
use tidegate_flow::job::Question;

const LONG: Duration = Duration::from_mins(5);

impl World {
    /// How it ends on the cluster's word once nobody waits for a receipt any more.
    fn verdict(&mut self) -> Option<Receipt> {
        let now = Instant::now();
        self.state.verdict(TOKEN, now).or_else(|| self.state.verdict(TOKEN, now + RECEIPT_PATIENCE))
    }

    /// The same in few words.
    fn verdict_words(&mut self) -> Option<String> {
        let receipt = self.verdict()?;
        Some(format!(
            "{}: {}",
            receipt.class.map_or("-", FailureClass::word),
            receipt.reason.unwrap_or_default()
        ))
    }

    /// A pod runs its steps, and its agent is there.
    fn runs(&mut self, rank: u32) {
        self.comes(rank);
        self.pod_is(rank, status("Running", &json!({"running": {}})));
    }

    /// All pods of so many run.
    fn running(nodes: u32) -> Self {
        let mut world = Self::plain(nodes);
        world.job_is(&json!({"template": {}}), &json!([]));
        (0..nodes.max(1)).for_each(|rank| world.runs(rank));
        world
    }
}

fn status(phase: &str, steps: &Json) -> Json {
    json!({
        "phase": phase,
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": steps}],
    })
}

fn terminated(exit: i32, reason: &str) -> Json {
    status("Failed", &json!({"terminated": {"exitCode": exit, "reason": reason}}))
}

fn evicted() -> Json {
    json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"})
}

fn good() -> Receipt {
    Receipt::bare(Conclusion::Success, None, String::new())
}

fn exit() -> Receipt {
    let receipt = Receipt::bare(Conclusion::Failure, Some(FailureClass::Failure), "exit 3".to_owned());
    Receipt { failed_step: Some(1), ..receipt }
}

/// Its agent leaves a minute after its receipt; others may run for hours.
#[test]
fn a_node_that_is_done_is_not_missed() {
    for done in [0, 1] {
        let mut world = World::running(2);
        world.ends(done, good());
        world.pod_is(done, json!({"phase": "Succeeded"}));
        assert_eq!(world.verdict_words(), None, "{done}");
        world.attempt().gone.insert(done);
        assert_eq!(world.verdict_words(), None, "{done}: the cluster may clear it away");
        world.attempt().node_is(done, true);
        let later = Instant::now() + LONG;
        assert_eq!(world.state.verdict(TOKEN, later).and_then(|r| r.reason), None, "{done}: nor is its node");
        world.ends(1 - done, good());
        assert_eq!(world.said(), ["-: "]);
    }
}

#[test]
fn a_pod_that_ended_counts_more_than_one_that_waits() {
    let mut world = World::running(3);
    world.pod_is(0, json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu"}]}));
    world.pod_is(2, evicted());
    assert_eq!(
        world.verdict_words().unwrap(),
        "preempted: node 2: evicted because its node ran out of memory: The node was \
        low on resource: memory; say in `resources.memory` what it needs, so that it gets a node that has it (node gpu-2)"
    );
}

/// The Job fails as a whole, and its controller takes the other pods away.
#[test]
fn the_pod_is_named_that_the_others_ended_for() {
    let failed = json!([{"type": "Failed", "status": "True", "reason": "PodFailurePolicy",
        "message": "Container steps for pod ml/job-1-x failed with exit code 137 matching FailJob rule at index 1"}]);
    for others in [status("Running", &json!({"running": {}})), terminated(137, "Error")] {
        let mut world = World::running(2);
        world.job_is(&json!({"template": {}}), &failed);
        world.pod_is(0, others);
        world.pod_is(1, terminated(137, "OOMKilled"));
        let receipt = world.verdict().unwrap();
        assert_eq!((receipt.class, receipt.exit), (Some(FailureClass::Oom), Some(137)));
        assert!(receipt.reason.unwrap().starts_with("node 1: killed for memory (exit 137)"));
    }
    // Of a pod that nothing is known of, the Job's words name no rank that it is not.
    let mut world = World::running(2);
    world.job_is(&json!({"template": {}}), &failed);
    assert!(
        world.verdict_words().unwrap().starts_with("lost: a container of its pod ended without a receipt")
    );
}

#[test]
fn a_node_that_failed_before_is_why() {
    let mut world = World::running(2);
    world.ends(1, exit());
    world.pod_is(0, terminated(137, "Error"));
    let receipt = world.verdict().unwrap();
    assert_eq!(receipt.reason.as_deref(), Some("node 1: exit 3"));
    assert_eq!((receipt.class, receipt.failed_step), (Some(FailureClass::Failure), Some(1)));
    // Node 0 has been away for so long that its receipt is not waited for any more.
    let mut world = World::running(2);
    world.ends(1, exit());
    let receipt = world.state.verdict(TOKEN, Instant::now() + LONG).unwrap();
    assert_eq!(receipt.reason.as_deref(), Some("node 1: exit 3"));
}

#[test]
fn all_but_the_failure_is_node_0s() {
    let mut world = World::running(3);
    world.ends(1, Receipt { log: 99, summary: "of node 1".into(), ..exit() });
    let late = |world: &mut World| world.state.verdict(TOKEN, Instant::now() + LONG).unwrap();
    let receipt = late(&mut world);
    assert_eq!((receipt.log, receipt.summary.as_str()), (0, ""), "what node 1 wrote is another log");
    let own = Receipt::bare(Conclusion::Cancelled, None, "ended at once".into());
    world.ends(0, Receipt { log: 7, failed_step: Some(4), ..own });
    let receipt = late(&mut world);
    assert_eq!((receipt.log, receipt.failed_step), (7, Some(1)), "node 2 is still there");
}

/// Two of three came, one of which fails: no more is to be waited for than the other's end.
#[test]
fn a_failed_node_waits_for_no_node_that_never_came() {
    let mut world = World::plain(3);
    world.job_is(&json!({"template": {}}), &json!([]));
    world.runs(0);
    world.runs(1);
    world.ends(1, exit());
    assert!(world.said().is_empty(), "node 0 has its steps to end");
    world.ends(0, Receipt::bare(Conclusion::Cancelled, None, "ended at once".into()));
    assert_eq!(world.said(), ["failure: node 1: exit 3"]);
}

#[test]
fn a_node_that_does_not_leave_is_named() {
    let mut world = World::running(3);
    world.state.request(AgentRequest::Cancel { token: TOKEN.into(), reason: "no more".into() });
    world.ends(0, Receipt::bare(Conclusion::Cancelled, None, "no more".into()));
    let words =
        |world: &mut World| world.state.verdict(TOKEN, Instant::now() + LONG).and_then(|r| r.reason).unwrap();
    assert_eq!(words(&mut world), "nodes 1, 2 did not leave in time");
    world.ends(1, Receipt::bare(Conclusion::Cancelled, None, "no more".into()));
    assert_eq!(words(&mut world), "node 2 did not leave in time");
    let mut world = World::running(0);
    world.state.request(AgentRequest::Cancel { token: TOKEN.into(), reason: "no more".into() });
    assert_eq!(words(&mut world), "it did not leave in time");
}

#[test]
fn a_step_that_ran_out_of_its_own_memory_is_told_of_every_node() {
    use tidegate_flow::job::{ResourceRequest, StepPlace, StepSpec};
    let mut world = World::running(2);
    let own = ResourceRequest { memory_bytes: 40 << 20, ..ResourceRequest::default() };
    let spec = std::sync::Arc::make_mut(&mut world.attempt().spec);
    spec.steps = vec![StepSpec::default()];
    spec.pod.steps = vec![StepPlace { step: 0, resources: Some(own), ..StepPlace::default() }];
    world.pod_is(1, terminated(137, "OOMKilled"));
    let receipt = world.verdict().unwrap();
    assert!(receipt.step_memory.is_some(), "{receipt:?}");
}

#[test]
fn a_place_that_is_taken_away_is_that_of_every_node() {
    let suspended = json!({"suspend": true, "template": {}});
    // Only node 1 came before.
    let mut world = World::plain(2);
    world.runs(1);
    world.job_is(&suspended, &json!([]));
    world.attempt().gone.insert(1);
    assert!(world.verdict_words().unwrap().starts_with("preempted: its Job was suspended"));
    // None did: it waits again, whatever its pods did last.
    let mut world = World::plain(0);
    world.attempt().agent = false;
    world.pod_is(0, json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu"}]}));
    world.job_is(&suspended, &json!([]));
    world.attempt().gone.insert(0);
    let (_, seen) = world.attempt().seen().unwrap();
    assert!(matches!(seen, Seen::Waiting(Waiting::Suspended(_))), "{seen:?}");
}

/// The other pods get nowhere without it.
#[test]
fn a_pod_that_is_never_made_ends_those_that_are_being_set_up() {
    let mut world = World::plain(2);
    world.job_is(&json!({"template": {}}), &json!([]));
    world.pod_is(0, status("Pending", &json!({"waiting": {"reason": "PodInitializing"}})));
    let never = Death { class: FailureClass::Unschedulable, exit: None, reason: "a policy".into() };
    world.attempt().not_made = Some(Err(never));
    assert_eq!(world.verdict_words().unwrap(), "unschedulable: a policy");
}

fn disrupted_pod() -> Json {
    json!({"phase": "Running", "conditions": [{"type": "DisruptionTarget", "status": "True",
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}]})
}

fn removed() -> Receipt {
    Receipt::bare(Conclusion::Cancelled, None, REMOVED.to_owned())
}

/// Its peers fail at once, and say so while the cluster is asked about it.
#[test]
fn of_a_node_that_is_taken_away_and_its_peers_it_counts() {
    let mut world = World::running(2);
    world.ends(1, removed());
    world.ends(0, exit());
    assert!(world.said().is_empty());
    world.pod_is(1, disrupted_pod());
    world.state.touched.insert(TOKEN.into());
    world.state.look();
    let wanted = "preempted: node 1: taken off its node (EvictionByEvictionAPI): Eviction API: evicting";
    assert_eq!(world.said(), [wanted]);
    // Its steps, or what is done after them, take their time: its peer is the first to say something.
    let mut world = World::running(2);
    world.pod_is(1, disrupted_pod());
    world.ends(0, exit());
    world.ends(1, removed());
    assert_eq!(world.said(), [wanted]);
    // One that failed before it was taken away did so by itself.
    let mut world = World::running(2);
    world.ends(0, exit());
    world.pod_is(1, disrupted_pod());
    world.ends(1, removed());
    assert_eq!(world.said(), ["failure: exit 3"]);
}

/// The Job's controller takes the others away, and their agents say so.
#[test]
fn a_pod_that_died_in_silence_is_the_cause_of_those_that_went_after_it() {
    let mut world = World::running(2);
    world.pod_is(1, terminated(9, "Error"));
    world.ends(0, removed());
    let gone = Instant::now() - DEATH_PATIENCE;
    world.attempt().held.iter_mut().for_each(|(_, since)| *since = gone);
    world.state.touched.insert(TOKEN.into());
    world.state.look();
    let wanted =
        "lost: node 1: the container of the steps ended with exit 9 before its steps did (node gpu-1)";
    assert_eq!(world.verdict_words().as_deref(), Some(wanted));
}

/// Its agent asks why; peers fail, and it is ended for them before there is an answer.
#[test]
fn of_a_node_that_is_killed_for_memory_and_its_peers_it_counts() {
    let mut world = World::running(2);
    let body = MessageBody::Ask { id: 1, question: Question::Death };
    let asks = JobMessage { token: token_of(TOKEN, 1), seq: 3, at: 0, body };
    world.state.hear(HubEvent::Message(asks));
    world.ends(0, exit());
    let lost = "the container of the steps ended".to_owned();
    world.ends(1, Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), lost));
    assert!(world.said().is_empty());
    world.pod_is(1, terminated(137, "OOMKilled"));
    world.state.touched.insert(TOKEN.into());
    world.state.look();
    let said = world.said().concat();
    assert!(said.starts_with("oom: node 1: killed for memory (exit 137)"), "{said}");
}

/// It was ended for another: what it says of that is no word of the cluster's.
#[test]
fn what_ends_at_once_for_another_is_not_asked_about() {
    let mut world = World::running(2);
    let body = MessageBody::Ask { id: 1, question: Question::Death };
    world.state.hear(HubEvent::Message(JobMessage { token: token_of(TOKEN, 1), seq: 3, at: 0, body }));
    world.ends(0, exit());
    world.ends(1, Receipt::bare(Conclusion::Cancelled, None, "ended at once".into()));
    assert_eq!(world.said(), ["failure: exit 3"]);
}

/// A new engine hears all of node 0 first. Node 1 failed an hour ago; for that the cluster took node 0 away a minute later.
#[test]
fn what_happened_while_no_engine_was_there_counts_in_its_order() {
    let mut world = World::running(2);
    world.attempt().taken_up = true;
    let message = |rank, at, receipt| {
        let body = MessageBody::Ended(receipt);
        HubEvent::Message(JobMessage { token: token_of(TOKEN, rank), seq: 9, at, body })
    };
    world.state.hear(message(0, 61_000, removed()));
    world.state.hear(message(1, 1_000, exit()));
    let gone = Instant::now() - DEATH_PATIENCE;
    world.attempt().held.iter_mut().for_each(|(_, since)| *since = gone);
    world.state.look();
    assert_eq!(world.said(), ["failure: node 1: exit 3"]);
}

#[test]
fn the_node_is_named_whose_pod_cannot_be_set_up() {
    let mut world = World::running(2);
    let backs_off = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
    world.pod_is(1, status("Pending", &backs_off));
    let start = Instant::now();
    for seconds in [0, 4] {
        assert_eq!(world.state.verdict(TOKEN, start + Duration::from_secs(seconds)), None);
    }
    assert!(world.said().concat().contains("reason: \"node 1: the image i cannot be pulled"));
    let receipt = world.state.verdict(TOKEN, start + LONG).unwrap();
    assert!(receipt.reason.unwrap().starts_with("node 1: the image i cannot be pulled"));
}
