//! Receipts that are kept back for a word about services.

use super::super::world::{TOKEN, World};
use super::*;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tidegate_flow::job::AgentRequest;

impl World {
    /// The API server tells that the service of a pod has ended so often.
    fn service_ends(&mut self, rank: u32, times: u32) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": {
            "initContainerStatuses": [{"name": "service-db", "image": "i", "imageID": "", "ready": true, "restartCount": times,
                "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}}}],
            "containerStatuses": [{"name": "steps", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}}}],
        }}))
        .unwrap();
        self.attempt().is(rank, pod);
        self.state.tell_services(TOKEN, rank);
    }

    /// Nobody has told of a service in time.
    fn time_is_over(&mut self) {
        self.state.pass_on_failures(TOKEN, Instant::now() + TOLD_PATIENCE);
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
    world.attempt().gone.insert(0);
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
