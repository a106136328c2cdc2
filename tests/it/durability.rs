//! What is on disk, and when: an end that came from elsewhere before it is acknowledged, the end of a run,
//! and nothing in between.
//!
//! An engine listens to signals, so each runs as this same test binary, called for an ignored test.

use crate::harness::{Project, binary};
use crate::in_process::{Nobody, by_hand};
use std::path::Path;
use std::sync::Mutex;
use tidegate::app::engine::{BackEnd, ClusterSettings, Engine, Machine, Site};
use tidegate_edge::executor::{Executor, ExecutorMessage};
use tidegate_edge::store::{FaultyLog, Moment, Sync};
use tidegate_flow::job::{AgentRequest, Conclusion, JobMessage, MessageBody, Receipt};
use tidegate_flow::run::{EventKind, RunEvent};

const CASE: &str = "TIDEGATE_TEST_DURABILITY";

const CHAIN: &str = "on: workflow_dispatch\njobs:\n  a: { steps: [{ run: 'true' }] }\n  b: { needs: a, steps: [{ run: 'true' }] }\n  c: { needs: b, steps: [{ run: 'true' }] }\n";

/// Pods that end well at once, and note what is acknowledged.
struct Pods {
    ear: Mutex<Box<dyn Fn(ExecutorMessage) + Send>>,
}

impl Executor for Pods {
    #[expect(clippy::print_stdout, reason = "the test that started this process reads it")]
    fn send_all(&self, requests: &[AgentRequest]) -> std::io::Result<()> {
        for request in requests {
            match request {
                AgentRequest::Start { spec, .. } => {
                    let receipt = Receipt::bare(Conclusion::Success, None, String::new());
                    let bodies = [MessageBody::Started { notes: Vec::new() }, MessageBody::Ended(receipt)];
                    for (body, seq) in bodies.into_iter().zip(1..) {
                        let message = JobMessage { token: spec.token.clone(), seq, at: 0, body };
                        self.ear.lock().unwrap()(ExecutorMessage::Job(message));
                    }
                }
                AgentRequest::Acknowledge { .. } => println!("\nheard: acknowledged"),
                _ => {}
            }
        }
        Ok(())
    }

    fn stop(self: Box<Self>) {}

    fn abandon(self: Box<Self>) {}
}

#[test]
#[ignore = "called by the tests below"]
fn an_engine_with_a_witness() {
    let said = std::env::var(CASE).expect("called by a test");
    let [place, at, root] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
    let root = Path::new(root);
    let request = by_hand(root, None);
    let mut site = Site::new(Machine::here(Some(2), Some(0)), false);
    site.exe = Some(binary());
    if place == "pods" {
        site.back_end = BackEnd::Kubernetes(ClusterSettings {
            agent_image: "agent".to_owned(),
            image: "image".to_owned(),
            ..ClusterSettings::default()
        });
        site.executor = Some(Box::new(|ear| Box::new(Pods { ear: Mutex::new(ear) })));
    }
    let at: u64 = at.parse().unwrap();
    site.log = Some(Box::new(move |store| {
        let ended = |event: &RunEvent| matches!(event.kind, EventKind::AttemptEnded { .. });
        let over = |event: &RunEvent| matches!(event.kind, EventKind::RunEnded(_));
        Box::new(FaultyLog::new(store, at, Moment::Before).with_witness(Box::new(move |events, sync| {
            let sync = if sync == Sync::Disk { "forced" } else { "written" };
            if events.iter().any(over) {
                println!("\nheard: run ended, {sync}");
            } else if events.iter().any(ended) {
                println!("\nheard: attempt ended, {sync}");
            } else {
                println!("\nheard: else, {sync}");
            }
        })))
    }));
    let ended = Engine::start(&request, site, &mut Nobody).and_then(Engine::finish);
    println!("\nheard: {}", if ended.is_ok() { "it ended" } else { "it died" });
}

/// What happened, in order, without what is not an end and was not forced.
fn heard(place: &str, at: u64) -> Vec<String> {
    let project = Project::workflow(CHAIN);
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::an_engine_with_a_witness", "--ignored", "--nocapture"])
        .env(CASE, format!("{place} {at} {}", project.path().display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.strip_prefix("heard: ").map(str::to_owned));
    lines.filter(|line| line != "else, written").collect()
}

#[test]
fn an_end_from_elsewhere_is_forced_before_it_is_acknowledged() {
    let one = ["attempt ended, forced", "acknowledged"];
    // The last one is in one append with the end of the run, which nobody has to be told of.
    let wanted = [&one[..], &one, &["run ended, forced", "acknowledged", "it ended"]].concat();
    assert_eq!(heard("pods", u64::MAX), wanted);
}

/// Every append dies once before it is done: nothing is acknowledged that is not in the log.
#[test]
fn what_is_not_in_the_log_is_not_acknowledged() {
    for at in 1.. {
        let heard = heard("pods", at);
        let count = |what: &str| heard.iter().filter(|line| line.contains(what)).count();
        assert!(count("acknowledged") <= count("ended, forced"), "{at}: {heard:?}");
        if count("it ended") == 1 {
            assert!(at > 3, "{heard:?}");
            return;
        }
        assert_eq!(count("it died"), 1, "{at}: {heard:?}");
    }
}

/// Here nothing is forgotten with an acknowledgement: a lost tail only runs again, and a launch waits for
/// no disk.
#[test]
fn on_this_machine_only_the_end_of_a_run_is_forced() {
    let wanted = ["attempt ended, written", "attempt ended, written", "run ended, forced", "it ended"];
    assert_eq!(heard("here", u64::MAX), wanted);
}
