//! Small runs, driven by hand: what `decide` says is done at once, attempts end as a table tells.

use super::*;
use crate::job::{Conclusion, FailureClass, Receipt, RetrySpec};
use std::collections::BTreeMap;

fn receipt(conclusion: Conclusion, class: Option<FailureClass>) -> Receipt {
    Receipt {
        conclusion,
        class,
        exit: None,
        reason: None,
        failed_step: None,
        outputs: BTreeMap::new(),
        metrics: BTreeMap::new(),
        goals: BTreeMap::new(),
        params: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        uploads: BTreeMap::new(),
        summary: String::new(),
        environment_url: None,
        log: 0,
        duration_ms: 0,
    }
}

struct World {
    run: Run,
    log: Vec<RunEvent>,
    matrix: u32,
    max_parallel: Option<u32>,
    attempts: u32,
    most_running: usize,
    fails: fn(u32, u32) -> Option<FailureClass>,
}

impl World {
    fn new(jobs: &[(&str, &[u32])], fails: fn(u32, u32) -> Option<FailureClass>) -> Self {
        let jobs = jobs
            .iter()
            .map(|(id, needs)| JobDeclared {
                id: (*id).to_owned(),
                display: (*id).to_owned(),
                needs: needs.to_vec(),
                ..JobDeclared::default()
            })
            .collect();
        let created = RunCreated { jobs, ..RunCreated::default() };
        let mut world = Self {
            run: Run::default(),
            log: Vec::new(),
            matrix: 1,
            max_parallel: None,
            attempts: 1,
            most_running: 0,
            fails,
        };
        world.take(EventKind::RunCreated(Box::new(created)));
        world
    }

    fn take(&mut self, kind: EventKind) {
        let event = self.run.admit(kind, Millis(0)).unwrap();
        self.run.apply(&event);
        self.log.push(event);
        assert_eq!(Run::replay(&self.log), self.run, "replay gives the live state");
        assert_eq!(self.run.decide(Millis(0)), self.run.decide(Millis(0)));
    }

    fn drive(&mut self) -> RunSummary {
        for _ in 0..100_000 {
            let commands = self.run.decide(Millis(0));
            for command in commands {
                self.carry_out(command);
            }
            self.most_running = self.most_running.max(self.run.running().count());
            if self.run.ended() {
                break;
            }
            if self.run.decide(Millis(0)).is_empty() {
                let id = self.run.running().next().expect("something runs, or the run is stuck");
                let attempt = self.run.instance(id).unwrap().attempt;
                let class = (self.fails)(id.0, attempt);
                let conclusion = if class.is_some() { Conclusion::Failure } else { Conclusion::Success };
                let receipt = Box::new(receipt(conclusion, class));
                self.take(EventKind::AttemptEnded { instance: id, attempt, receipt });
            }
        }
        match &self.log.last().unwrap().kind {
            EventKind::RunEnded(summary) => (**summary).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn carry_out(&mut self, command: Command) {
        let kind = match command {
            Command::EvaluateJob(job) => {
                let needs_fail = self.run.ancestors(job).iter().any(|c| *c != Conclusion::Success);
                let instance = InstanceDeclared::default();
                let outcome = if needs_fail {
                    JobEvaluation::Skipped { reason: "a need failed".to_owned() }
                } else {
                    JobEvaluation::Instances {
                        instances: vec![instance; self.matrix as usize],
                        fail_fast: true,
                        max_parallel: self.max_parallel,
                    }
                };
                EventKind::JobEvaluated { job, outcome }
            }
            Command::EvaluateInstance(instance) => {
                let retry = RetrySpec { attempts: self.attempts, ..RetrySpec::default() };
                let ready = ReadySettings { retry, ..ReadySettings::default() };
                EventKind::InstanceEvaluated {
                    instance,
                    settings: Box::new(InstanceSettings::Ready(Box::new(ready))),
                }
            }
            Command::RequestSlot(instance) => EventKind::SlotGranted { instance, gpus: None },
            Command::StartAttempt { instance, attempt } => EventKind::AttemptStarted {
                instance,
                attempt,
                token: format!("{}.{attempt}", instance.0),
                spec: String::new(),
            },
            Command::CancelAttempt { instance, attempt, reason, .. } => {
                self.take(EventKind::AttemptCancelled { instance, attempt, reason });
                let receipt = Box::new(receipt(Conclusion::Cancelled, None));
                EventKind::AttemptEnded { instance, attempt, receipt }
            }
            Command::Record(kind) => kind,
            other => panic!("{other:?}"),
        };
        self.take(kind);
    }
}

#[test]
fn a_diamond_runs_to_success() {
    let mut world = World::new(&[("a", &[]), ("b", &[0]), ("c", &[0]), ("d", &[1, 2])], |_, _| None);
    let summary = world.drive();
    assert_eq!((summary.conclusion, summary.counts), (Conclusion::Success, [4, 0, 0, 0]));
}

#[test]
fn what_needs_a_failure_is_skipped() {
    let mut world = World::new(&[("a", &[]), ("b", &[0])], |_, _| Some(FailureClass::Failure));
    let summary = world.drive();
    assert_eq!((summary.conclusion, summary.counts), (Conclusion::Failure, [0, 1, 0, 0]));
    assert_eq!(world.run.jobs()[1].result, Some(Conclusion::Skipped));
}

#[test]
fn failures_and_losses_have_budgets_of_their_own() {
    let mut world = World::new(&[("a", &[])], |_, attempt| match attempt {
        1 | 3 => Some(FailureClass::Lost),
        2 | 4 => Some(FailureClass::Failure),
        _ => None,
    });
    world.attempts = 3;
    assert_eq!(world.drive().conclusion, Conclusion::Success);
    assert_eq!(world.run.instances()[0].attempt, 5);
}

#[test]
fn a_gate_is_not_tried_again() {
    let mut world = World::new(&[("a", &[])], |_, _| Some(FailureClass::Gate));
    world.attempts = 3;
    let summary = world.drive();
    assert!(summary.gate);
    assert_eq!(world.run.instances()[0].attempt, 1);
}

#[test]
fn fail_fast_ends_the_others_and_max_parallel_holds() {
    let mut world = World::new(&[("a", &[])], |id, _| (id == 2).then_some(FailureClass::Failure));
    (world.matrix, world.max_parallel) = (8, Some(2));
    let summary = world.drive();
    assert_eq!(world.most_running, 2);
    assert_eq!((summary.conclusion, summary.counts), (Conclusion::Failure, [2, 1, 5, 0]));
}

#[test]
fn an_old_attempt_is_refused() {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    world.drive();
    let late = EventKind::AttemptEnded {
        instance: InstanceId(0),
        attempt: 1,
        receipt: Box::new(receipt(Conclusion::Success, None)),
    };
    assert_eq!(world.run.admit(late, Millis(0)), Err(Refusal::Ended));
}
