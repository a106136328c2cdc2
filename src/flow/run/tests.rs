//! Small runs, driven by hand: what `decide` says is done at once, attempts end as a table tells.

use super::*;
use crate::job::{Conclusion, FailureClass, Receipt, RetrySpec, StepMemory};
use std::collections::BTreeMap;
use std::sync::Arc;

fn receipt(conclusion: Conclusion, class: Option<FailureClass>) -> Receipt {
    Receipt { reason: None, ..Receipt::bare(conclusion, class, String::new()) }
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
            .map(Arc::new)
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
        world.take(EventKind::RunCreated(Arc::new(created)));
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
                let receipt = Arc::new(receipt(conclusion, class));
                self.take(EventKind::StepStarted {
                    instance: id,
                    attempt,
                    step: 0,
                    name: String::new(),
                    log: 0,
                });
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
                let instance = Arc::<InstanceDeclared>::default();
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
                let receipt = Arc::new(receipt(Conclusion::Cancelled, None));
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
        receipt: Arc::new(receipt(Conclusion::Success, None)),
    };
    assert_eq!(world.run.admit(late, Millis(0)), Err(Refusal::Ended));
}

/// Each engine counts the ends of an attempt's services from the first one: the log has each once.
#[test]
fn an_end_of_a_service_that_the_log_has_is_not_logged_again() {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    world.attempts = 2;
    let id = InstanceId(0);
    let ended = |attempt, node, times| EventKind::ServiceEnded {
        instance: id,
        attempt,
        service: "db".to_owned(),
        node,
        times,
        reason: String::new(),
    };
    for attempt in 1..=2 {
        while world.run.running().count() == 0 {
            for command in world.run.decide(Millis(0)) {
                world.carry_out(command);
            }
        }
        world.take(ended(attempt, None, 1));
        world.take(ended(attempt, None, 3));
        for again in [1, 2, 3] {
            let replayed = Run::replay(&world.log);
            assert_eq!(replayed.admit(ended(attempt, None, again), Millis(0)), Err(Refusal::Known));
        }
        world.take(ended(attempt, Some(1), 1));
        world.take(ended(attempt, None, 4));
        let old = world.run.admit(ended(attempt - 1, None, 5), Millis(0));
        assert_eq!(old, Err(Refusal::OldAttempt { instance: 0, attempt: attempt - 1 }));
        world.take(EventKind::AttemptEnded {
            instance: id,
            attempt,
            receipt: Arc::new(receipt(Conclusion::Failure, Some(FailureClass::Failure))),
        });
    }
}

/// A run with one job whose first attempt ends so; returns the event that follows.
/// Also while a later attempt runs: what the first one still says is not the second one's.
#[test]
fn images_may_be_told_of_attempts_that_were_also_when_all_is_over() {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    world.drive();
    let images = Arc::new(BTreeMap::from([("steps".to_owned(), "x@sha256:1".to_owned())]));
    let told = |instance, attempt| EventKind::ImagesTold {
        instance: InstanceId(instance),
        attempt,
        images: images.clone(),
    };
    for (instance, attempt) in [(0, 0), (0, 2), (1, 1)] {
        let refused = world.run.admit(told(instance, attempt), Millis(0));
        assert!(matches!(refused, Err(Refusal::Illegal(_))), "{refused:?}");
    }
    world.take(told(0, 1));
    assert_eq!(world.run.instance(InstanceId(0)).unwrap().receipt.as_ref().unwrap().images, images);
    assert!(world.run.ended() && world.run.decide(Millis(0)).is_empty());
}

#[test]
fn an_old_attempt_is_refused_while_a_new_one_runs() {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    world.attempts = 2;
    let id = InstanceId(0);
    let started =
        |attempt| EventKind::StepStarted { instance: id, attempt, step: 0, name: String::new(), log: 0 };
    let ended = |attempt| EventKind::AttemptEnded {
        instance: id,
        attempt,
        receipt: Arc::new(receipt(Conclusion::Failure, Some(FailureClass::Failure))),
    };
    for attempt in 1..=2 {
        while world.run.running().count() == 0 {
            for command in world.run.decide(Millis(0)) {
                world.carry_out(command);
            }
        }
        assert_eq!(world.run.instance(id).unwrap().attempt, attempt);
        for other in [attempt - 1, attempt + 1] {
            for kind in [started(other), ended(other)] {
                let refused = world.run.admit(kind, Millis(0)).unwrap_err();
                assert_eq!(refused, Refusal::OldAttempt { instance: 0, attempt: other });
            }
        }
        world.take(started(attempt));
        world.take(ended(attempt));
    }
    assert_eq!(world.drive().counts[1], 1);
}

fn after(receipt: Receipt, retry: RetrySpec, attempts: u32) -> EventKind {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    let take_all = |world: &mut World, retry: &RetrySpec| loop {
        let commands = world.run.decide(Millis(0));
        let Some(command) = commands.first().cloned() else { return };
        if let Command::EvaluateInstance(instance) = command {
            let mut ready = ReadySettings { retry: retry.clone(), ..ReadySettings::default() };
            ready.resources.memory_bytes = 1000;
            let settings = Box::new(InstanceSettings::Ready(Box::new(ready)));
            world.take(EventKind::InstanceEvaluated { instance, settings });
        } else {
            world.carry_out(command);
        }
    };
    for attempt in 1..=attempts {
        take_all(&mut world, &retry);
        let receipt = Arc::new(receipt.clone());
        world.take(EventKind::AttemptEnded { instance: InstanceId(0), attempt, receipt });
        if attempt < attempts {
            let Command::Record(again) = world.run.decide(Millis(0)).remove(0) else { panic!() };
            let EventKind::RetryScheduled { due, .. } = again else { panic!("{again:?}") };
            world.take(again);
            let granted = EventKind::SlotGranted { instance: InstanceId(0), gpus: None };
            let event = world.run.admit(granted, due).unwrap();
            world.run.apply(&event);
            world.log.push(event);
        }
    }
    match world.run.decide(Millis(0)).remove(0) {
        Command::Record(kind) => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_tried_again_and_when() {
    use FailureClass::*;
    let spec = || RetrySpec {
        attempts: 3,
        on: ["failure", "oom", "exit:75"].map(str::to_owned).to_vec(),
        infra: 2,
        backoff_initial: 10.0,
        backoff_factor: 2.0,
        backoff_max: 15.0,
        backoff_jitter: 0.0,
        oom_memory_factor: 2.0,
        oom_max_memory: 3000,
    };
    let ended = |class: FailureClass, exit: Option<i32>| Receipt {
        exit,
        ..receipt(Conclusion::Failure, Some(class))
    };
    // Class, exit code, attempts that ended so: the pause in milliseconds and who pays; `None`: no more.
    let table = [
        (Failure, Some(1), 1, Some((10_000, false, None))),
        (Failure, Some(1), 2, Some((15_000, false, None))),
        (Failure, Some(1), 3, None),
        (Oom, Some(137), 1, Some((10_000, false, Some(2000)))),
        (Oom, Some(137), 2, Some((15_000, false, Some(3000)))),
        (Timeout, Some(75), 1, Some((10_000, false, None))),
        (Timeout, Some(143), 1, None),
        (Disk, None, 1, None),
        (Data, None, 1, None),
        (Image, None, 1, None),
        (Unschedulable, None, 1, None),
        (Gate, Some(75), 1, None),
        (Preempted, None, 1, Some((0, true, None))),
        (Lost, None, 3, None),
    ];
    for (class, exit, attempts, wanted) in table {
        let told = match after(ended(class, exit), spec(), attempts) {
            EventKind::RetryScheduled { due, infra, memory, .. } => Some((due.0, infra, memory)),
            EventKind::InstanceEnded { outcome: Conclusion::Failure, .. } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(told, wanted, "{class:?} {exit:?} after {attempts}");
    }
}

#[test]
fn what_a_steps_own_container_lacked_its_step_gets() {
    let spec = |most: u64| RetrySpec {
        attempts: 3,
        on: vec!["oom".to_owned()],
        backoff_initial: 0.0,
        oom_memory_factor: 2.0,
        oom_max_memory: most,
        ..RetrySpec::default()
    };
    let killed = |own: Option<(u32, u64)>| Receipt {
        step_memory: own.map(|(step, bytes)| StepMemory { step, key: format!("steps[{step}]"), bytes }),
        ..receipt(Conclusion::Failure, Some(FailureClass::Oom))
    };
    // What the killed container had, and the limit: what the next attempt has, and where. The job has 1000.
    let table = [
        (None, 0, (Some(2000), None)),
        (Some((1, 40)), 0, (Some(80), Some(1))),
        (Some((1, 40)), 60, (Some(60), Some(1))),
        // One without a limit gets none.
        (Some((1, 0)), 0, (None, None)),
    ];
    for (own, most, wanted) in table {
        let EventKind::RetryScheduled { memory, step, .. } = after(killed(own), spec(most), 1) else {
            panic!()
        };
        assert_eq!((memory, step), wanted, "{own:?}");
    }
    // Each of them keeps what it has got.
    let mut world = World::new(&[("a", &[])], |_, _| None);
    world.drive();
    for (step, bytes) in [(Some(1), 80), (None, 2000), (Some(2), 60), (Some(1), 160)] {
        let kind = EventKind::RetryScheduled {
            instance: InstanceId(0),
            due: Millis(0),
            class: FailureClass::Oom,
            infra: false,
            memory: Some(bytes),
            step,
        };
        world.run.apply(&RunEvent { at: Millis(0), kind });
    }
    let state = world.run.instance(InstanceId(0)).unwrap();
    assert_eq!(state.memory, Some(2000));
    assert_eq!(state.step_memory, BTreeMap::from([(1, 160), (2, 60)]));
}

/// Nobody said a word of these attempts: they had no place.
#[test]
fn infrastructure_that_has_no_place_is_given_time() {
    let mut before = Millis(0);
    for (attempts, seconds) in [(1, 0), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (60, 300)] {
        let lost = receipt(Conclusion::Failure, Some(FailureClass::Lost));
        let spec = RetrySpec { infra: 100, ..RetrySpec::default() };
        let EventKind::RetryScheduled { due, infra: true, .. } = after(lost, spec, attempts) else {
            panic!()
        };
        assert!((seconds * 500..=seconds * 1000).contains(&due.0), "{due:?} after {attempts}");
        assert!(due >= before, "{due:?} after {before:?}");
        before = Millis(due.0 / 2);
    }
}

#[test]
fn a_place_that_was_lost_is_looked_for_again_at_once() {
    let mut world = World::new(&[("a", &[])], |_, _| None);
    let id = InstanceId(0);
    for attempt in 1..=3 {
        while world.run.running().count() == 0 {
            for command in world.run.decide(Millis(0)) {
                world.carry_out(command);
            }
        }
        world.take(EventKind::StepStarted { instance: id, attempt, step: 0, name: String::new(), log: 0 });
        let receipt = Arc::new(receipt(Conclusion::Failure, Some(FailureClass::Preempted)));
        world.take(EventKind::AttemptEnded { instance: id, attempt, receipt });
        let Command::Record(again) = world.run.decide(Millis(0)).remove(0) else { panic!() };
        assert!(matches!(again, EventKind::RetryScheduled { due: Millis(0), infra: true, .. }), "{again:?}");
        world.take(again);
    }
}

#[test]
fn a_pause_is_never_negative_endless_or_longer_than_asked() {
    for (initial, factor, max, jitter) in
        [(1e300, 1e300, f64::MAX, 0.0), (10.0, 0.5, 5.0, 1.0), (0.0, 2.0, 9.0, 0.5), (5.0, 0.1, 3.0, 2.0)]
    {
        let spec = RetrySpec {
            attempts: 9,
            backoff_initial: initial,
            backoff_factor: factor,
            backoff_max: max,
            backoff_jitter: jitter,
            ..RetrySpec::default()
        };
        let failed = receipt(Conclusion::Failure, Some(FailureClass::Failure));
        let EventKind::RetryScheduled { due, .. } = after(failed, spec, 1) else { panic!() };
        assert!(due.0 >= 0, "{due:?}");
    }
}

#[test]
fn a_verdict_on_what_the_cache_has_decides_how_the_run_ends() {
    use crate::gate::{Outcome, Verdict};
    for (outcome, gate, tool) in
        [(Outcome::Pass, false, false), (Outcome::Fail, true, false), (Outcome::Undecided, false, true)]
    {
        let mut world = World::new(&[("a", &[])], |_, _| None);
        while let Some(command) = world.run.decide(Millis(0)).first().cloned() {
            match command {
                Command::EvaluateInstance(instance) => {
                    let ready =
                        ReadySettings { cache: Some(CacheKey::default()), ..ReadySettings::default() };
                    let settings = Box::new(InstanceSettings::Ready(Box::new(ready)));
                    world.take(EventKind::InstanceEvaluated { instance, settings });
                }
                Command::AskCache(instance) => {
                    let hit = Some(Box::new(("6".to_owned(), receipt(Conclusion::Success, None))));
                    let verdicts = vec![Verdict { outcome, findings: vec![] }];
                    world.take(EventKind::CacheAnswered { instance, hit, verdicts, reason: None });
                }
                other => world.carry_out(other),
            }
        }
        let EventKind::RunEnded(summary) = &world.log.last().unwrap().kind else { panic!() };
        assert_eq!((summary.gate, summary.tool_failure), (gate, tool), "{outcome:?}");
        assert_eq!(summary.cached, 1);
    }
}

/// What happens to a clock between two engines: it is set back by a day, or ahead.
#[test]
fn durations_stay_sane_under_a_lying_clock() {
    for later in [-86_400_000, 0, 86_400_000] {
        let mut run = Run::default();
        let take = |run: &mut Run, kind, at| {
            let event = run.admit(kind, Millis(at)).unwrap();
            run.apply(&event);
        };
        take(&mut run, EventKind::RunCreated(Arc::default()), 1_000_000_000);
        let now = 1_000_000_000 + later;
        let Command::Record(EventKind::RunEnded(summary)) = run.decide(Millis(now)).remove(0) else {
            panic!()
        };
        assert_eq!(summary.duration_ms, u64::try_from(later.max(0)).unwrap());
    }
}

/// Drives a run whose machine has room for four attempts; returns events and named commands.
fn work(jobs: &[(&str, &[u32])], matrix: u32, max_parallel: Option<u32>) -> (usize, usize) {
    let mut run = Run::default();
    let jobs = jobs.iter().map(|(id, needs)| JobDeclared {
        id: (*id).to_owned(),
        needs: needs.to_vec(),
        ..JobDeclared::default()
    });
    let created = RunCreated { jobs: jobs.map(Arc::new).collect(), ..RunCreated::default() };
    let (mut events, mut named) = (0, 0);
    let mut take = |run: &mut Run, kind| {
        let event = run.admit(kind, Millis(0)).unwrap();
        run.apply(&event);
        events += 1;
    };
    take(&mut run, EventKind::RunCreated(Arc::new(created)));
    while !run.ended() {
        let commands = run.decide_some(Millis(0), 8);
        named += commands.len();
        let mut did = false;
        for command in commands {
            let kind = match command {
                Command::EvaluateJob(job) => {
                    let instances = vec![Arc::default(); matrix as usize];
                    let outcome = JobEvaluation::Instances { instances, fail_fast: true, max_parallel };
                    EventKind::JobEvaluated { job, outcome }
                }
                Command::EvaluateInstance(instance) => {
                    let settings = Box::new(InstanceSettings::Ready(Box::default()));
                    EventKind::InstanceEvaluated { instance, settings }
                }
                Command::RequestSlot(_) if run.running().count() >= 4 => continue,
                Command::RequestSlot(instance) => EventKind::SlotGranted { instance, gpus: None },
                Command::StartAttempt { instance, attempt } => {
                    EventKind::AttemptStarted { instance, attempt, token: String::new(), spec: String::new() }
                }
                Command::Record(kind) => kind,
                other => panic!("{other:?}"),
            };
            did = true;
            take(&mut run, kind);
        }
        let first = run.running().next();
        if let (false, Some(instance)) = (did, first) {
            let receipt = Arc::new(receipt(Conclusion::Success, None));
            take(&mut run, EventKind::AttemptEnded { instance, attempt: 1, receipt });
        }
    }
    (events, named)
}

/// A plain counter of work, at a thousand and at ten thousand: what is named for each event stays
/// the same, whatever the graph looks like. (`decide` touches nothing but what it names.)
#[test]
fn work_grows_with_what_happens_and_not_with_what_exists() {
    for (name, wide, limit) in
        [("star", false, None), ("matrix", true, None), ("narrow matrix", true, Some(3))]
    {
        let each = [1000_u32, 10_000].map(|count| {
            let (events, named) = if wide {
                work(&[("a", &[])], count, limit)
            } else {
                let needs: Vec<u32> = (1..count - 1).collect();
                let mut jobs: Vec<(&str, &[u32])> = vec![("b", &[0]); count as usize];
                jobs[0] = ("a", &[]);
                jobs[count as usize - 1] = ("c", &needs);
                work(&jobs, 1, None)
            };
            assert!(events > count as usize * 5, "{name}");
            named * 100 / events
        });
        assert!(each[0] < 800 && each[1] <= each[0] + each[0] / 10, "{name}: {each:?}");
    }
}
