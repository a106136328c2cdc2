//! The laws of a run, over generated workflows and generated orders of events: late and doubled
//! messages, cancellations, crashes and new engines.

use super::*;
use crate::job::{Conclusion, FailureClass, Receipt, RetrySpec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a job of the generated workflow behaves.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "keys of a workflow file")]
struct Shape {
    /// Which of the earlier jobs it needs, one bit each.
    needs: u8,
    matrix: u32,
    fail_fast: bool,
    max_parallel: Option<u32>,
    continue_on_error: bool,
    attempts: u32,
    cache: bool,
    call: bool,
    always: bool,
    /// A concurrency group of its own.
    group: bool,
    pause: f64,
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = (any::<u8>(), 0_u32..4, prop::option::of(1_u32..3), 1_u32..4, 0_u8..3);
    (flags, numbers, any::<u8>()).prop_map(|(flags, numbers, rare)| Shape {
        needs: numbers.0,
        matrix: numbers.1,
        fail_fast: flags.0,
        max_parallel: numbers.2,
        continue_on_error: flags.1,
        attempts: numbers.3,
        cache: flags.2,
        call: rare.is_multiple_of(4),
        always: flags.3,
        group: rare.is_multiple_of(3),
        pause: f64::from(numbers.4),
    })
}

fn receipt(byte: u8) -> Receipt {
    let (conclusion, class) = match byte % 8 {
        0..=3 => (Conclusion::Success, None),
        4 => (Conclusion::Failure, Some(FailureClass::Failure)),
        5 => (Conclusion::Failure, Some(FailureClass::Lost)),
        6 => (Conclusion::Failure, Some(FailureClass::Gate)),
        _ => (Conclusion::Cancelled, None),
    };
    Receipt { reason: None, ..Receipt::bare(conclusion, class, String::new()) }
}

/// The groups that are not held, by the whole log: the run's, and after a new engine those of callers
/// and of attempts that went on.
fn groups(run: &Run, log: &[RunEvent]) -> Vec<Option<InstanceId>> {
    let start = log.iter().rposition(|e| matches!(e.kind, EventKind::EngineStarted { .. })).unwrap_or(0);
    let was = |wanted: &dyn Fn(&EventKind) -> bool, part: &[RunEvent]| part.iter().any(|e| wanted(&e.kind));
    let held = |who| was(&|kind| *kind == EventKind::GroupGranted { instance: who }, &log[start..]);
    let of_run = run.created().is_some_and(|created| created.concurrency.is_some());
    let mut groups: Vec<Option<InstanceId>> = (of_run && !held(None)).then_some(None).into_iter().collect();
    for (id, instance) in (0..).map(InstanceId).zip(run.instances()) {
        let call = run.job(instance.job).unwrap().declared.call;
        let granted = was(
            &|kind| matches!(kind, EventKind::SlotGranted { instance, .. } if *instance == id),
            &log[..start],
        );
        let stopped = was(
            &|kind| matches!(kind, EventKind::InstanceStopped { instance, .. } if *instance == id),
            &log[start..],
        );
        let goes_on =
            matches!(log.get(start).map(|e| &e.kind), Some(EventKind::EngineStarted { keeps: true, .. }))
                && instance.phase == Phase::Running
                && !was(
                    &|kind| matches!(kind, EventKind::AttemptStarted { instance, .. } if *instance == id),
                    &log[start..],
                )
                && instance.stop.is_none();
        if goes_on && instance.has_group() && !held(Some(id)) {
            groups.push(Some(id));
        }
        if call && granted && instance.phase != Phase::Ended && !stopped && !held(Some(id)) {
            groups.push(Some(id));
        }
    }
    groups
}

/// What `decide` says, found by looking at everything there is.
fn naive(run: &Run, log: &[RunEvent], now: Millis) -> Vec<Command> {
    let mut commands = Vec::new();
    if run.ended || run.created.is_none() {
        return commands;
    }
    let groups = groups(run, log);
    if run.cancel.is_none() && !groups.is_empty() {
        return groups.into_iter().map(Command::RequestGroup).collect();
    }
    let job_ids = || (0..).map(JobId).zip(run.jobs());
    let ids = || (0..).map(InstanceId).zip(run.instances());
    let ended = |id: &InstanceId| run.instance(*id).unwrap().phase == Phase::Ended;
    for (id, job) in job_ids() {
        if job.result.is_none() && job.evaluated && job.instances.iter().all(ended) {
            commands.extend(run.job_over(id));
        }
    }
    for (id, job) in job_ids() {
        let met = |need: &u32| run.jobs()[*need as usize].result.is_some();
        if job.result.is_none() && !job.evaluated && job.declared.needs.iter().all(met) {
            commands.push(Command::EvaluateJob(id));
        }
    }
    for (id, instance) in ids() {
        let job = run.job(instance.job).unwrap();
        let over = job.instances.iter().filter(|id| ended(id)).count();
        let room = job.max_parallel.map_or(usize::MAX, |most| most as usize + over);
        let waits = match instance.phase {
            Phase::Declared => instance.index as usize >= room,
            Phase::NeedsSlot | Phase::WaitsRetry(_) => true,
            _ => false,
        };
        if run.stopping(id).is_some() || !waits {
            commands.extend(run.busy_instance(id, now));
        }
    }
    let mut due: Vec<(Millis, InstanceId)> = ids()
        .filter_map(|(id, instance)| match instance.phase {
            Phase::WaitsRetry(due) if due <= now && run.stopping(id).is_none() => Some((due, id)),
            _ => None,
        })
        .collect();
    due.sort();
    commands.extend(due.into_iter().map(|(_, id)| Command::RequestSlot(id)));
    let waits = ids().filter(|(id, i)| i.phase == Phase::NeedsSlot && run.stopping(*id).is_none());
    let mut waits: Vec<_> = waits.map(|(id, instance)| (instance.slot_class(), id)).collect();
    waits.sort();
    commands.extend(waits.into_iter().map(|(_, id)| Command::RequestSlot(id)));
    if run.jobs().iter().all(|job| job.result.is_some()) {
        commands.push(Command::Record(EventKind::RunEnded(Box::new(summary::summary(run, now)))));
    }
    commands
}

struct World {
    shapes: Vec<Shape>,
    run: Run,
    log: Vec<RunEvent>,
    now: i64,
    epoch: u64,
}

impl World {
    fn new(shapes: Vec<Shape>) -> Self {
        let jobs = shapes.iter().enumerate().map(|(index, shape)| {
            let needs = (0..index.min(8)).filter(|need| shape.needs >> need & 1 == 1);
            JobDeclared {
                id: format!("j{index}"),
                needs: needs.map(|need| u32::try_from(need).unwrap()).collect(),
                call: shape.call,
                ..JobDeclared::default()
            }
        });
        let concurrency = shapes.first().filter(|shape| shape.group).map(|_| ConcurrencyGroup::default());
        let created = RunCreated { jobs: jobs.map(Arc::new).collect(), concurrency, ..RunCreated::default() };
        let mut world = Self { shapes, run: Run::default(), log: Vec::new(), now: 0, epoch: 1 };
        world.take(EventKind::RunCreated(Arc::new(created))).unwrap();
        world
    }

    /// Jobs of called workflows behave like the first one, and call nothing.
    fn shape(&self, job: JobId) -> &Shape {
        self.shapes.get(job.0 as usize).unwrap_or(&self.shapes[0])
    }

    fn take(&mut self, kind: EventKind) -> Result<(), Refusal> {
        let event = self.run.admit(kind, Millis(self.now))?;
        let was_over = self.run.ended();
        assert!(!was_over, "an event after the end was admitted");
        self.run.apply(&event);
        self.log.push(event);
        assert_eq!(Run::replay(&self.log), self.run, "replay gives the live state");
        let commands = self.run.decide(Millis(self.now));
        assert_eq!(commands, self.run.decide(Millis(self.now)), "decide is the same twice");
        assert_eq!(commands, naive(&self.run, &self.log, Millis(self.now)), "decide finds what a scan finds");
        Ok(())
    }

    fn answer(&self, command: &Command, byte: u8) -> EventKind {
        match command {
            Command::EvaluateJob(job) => self.evaluate(*job, byte),
            Command::EvaluateInstance(instance) => {
                let instance = *instance;
                let settings = if byte.is_multiple_of(16) {
                    InstanceSettings::Failed { reason: String::new() }
                } else {
                    InstanceSettings::Ready(Box::new(self.settings(instance)))
                };
                EventKind::InstanceEvaluated { instance, settings: Box::new(settings) }
            }
            Command::AddJobs(caller) => {
                let first = u32::try_from(self.run.jobs().len()).unwrap();
                let inner = |needs| Arc::new(JobDeclared { needs, ..JobDeclared::default() });
                let jobs =
                    if byte.is_multiple_of(4) { vec![] } else { vec![inner(vec![]), inner(vec![first])] };
                EventKind::JobsAdded { caller: *caller, jobs }
            }
            Command::AskCache(instance) => {
                let hit = byte.is_multiple_of(2).then(|| Box::new((String::new(), receipt(0))));
                EventKind::CacheAnswered { instance: *instance, hit, verdicts: vec![], reason: None }
            }
            Command::RequestSlot(instance) => EventKind::SlotGranted { instance: *instance, gpus: None },
            Command::RequestGroup(instance) => EventKind::GroupGranted { instance: *instance },
            Command::StartAttempt { instance, attempt } => EventKind::AttemptStarted {
                instance: *instance,
                attempt: *attempt,
                token: format!("{}.{attempt}", instance.0),
                spec: String::new(),
            },
            Command::CancelAttempt { instance, attempt, reason, .. } => {
                EventKind::AttemptCancelled { instance: *instance, attempt: *attempt, reason: reason.clone() }
            }
            Command::EndCall(instance) => EventKind::InstanceEnded {
                instance: *instance,
                outcome: Conclusion::Success,
                conclusion: Conclusion::Success,
                outputs: BTreeMap::new(),
            },
            Command::Record(kind) => kind.clone(),
        }
    }

    fn evaluate(&self, job: JobId, byte: u8) -> EventKind {
        let shape = self.shape(job);
        let above = self.run.ancestors(job);
        let good = !self.run.cancelled_for(job) && above.iter().all(|result| *result == Conclusion::Success);
        let outcome = if byte.is_multiple_of(16) {
            JobEvaluation::Failed { reason: String::new() }
        } else if good || shape.always {
            JobEvaluation::Instances {
                instances: vec![Arc::default(); shape.matrix as usize],
                fail_fast: shape.fail_fast,
                max_parallel: shape.max_parallel,
            }
        } else {
            JobEvaluation::Skipped { reason: String::new() }
        };
        EventKind::JobEvaluated { job, outcome }
    }

    fn settings(&self, instance: InstanceId) -> ReadySettings {
        let shape = self.shape(self.run.instance(instance).unwrap().job);
        let retry =
            RetrySpec { attempts: shape.attempts, backoff_initial: shape.pause, ..RetrySpec::default() };
        ReadySettings {
            continue_on_error: shape.continue_on_error,
            resources: crate::job::ResourceRequest { gpus: shape.attempts, ..Default::default() },
            retry,
            cache: shape.cache.then(CacheKey::default),
            concurrency: shape.group.then(ConcurrencyGroup::default),
            ..ReadySettings::default()
        }
    }

    fn end_attempt(&mut self, pick: usize, byte: u8) {
        let running: Vec<InstanceId> = self.run.running().collect();
        if running.is_empty() {
            return;
        }
        let instance = running[pick % running.len()];
        let attempt = self.run.instance(instance).unwrap().attempt;
        let kind = EventKind::AttemptEnded { instance, attempt, receipt: Arc::new(receipt(byte)) };
        self.take(kind.clone()).unwrap();
        assert!(self.take(kind).is_err(), "a doubled end of an attempt is refused");
    }

    fn step(&mut self, (what, pick, byte): (u8, u8, u8)) {
        if self.run.ended() {
            return;
        }
        let pick = usize::from(pick);
        match what {
            0..140 => {
                let commands = self.run.decide(Millis(self.now));
                if !commands.is_empty() {
                    let kind = self.answer(&commands[pick % commands.len()], byte);
                    self.take(kind).unwrap();
                }
            }
            140..200 => self.end_attempt(pick, byte),
            200..220 => self.now += i64::from(byte) * 20,
            220..235 => {
                // Anything of the log once more: admitted only where it may be said twice.
                let kind = self.log[pick % self.log.len()].kind.clone();
                let _ = self.take(kind);
            }
            235..240 => {
                let instances = self.run.instances().len();
                if instances > 0 {
                    let instance = InstanceId(u32::try_from(pick % instances).unwrap());
                    // Refused only where it has ended.
                    let _ = self.take(EventKind::InstanceStopped { instance, reason: "test".to_owned() });
                }
            }
            240..248 => {
                let before: Vec<(InstanceId, u32)> =
                    self.run.running().map(|id| (id, self.run.instance(id).unwrap().attempt)).collect();
                self.run = Run::replay(&self.log);
                self.epoch += 1;
                let keeps = byte.is_multiple_of(2);
                self.take(EventKind::EngineStarted { epoch: self.epoch, keeps }).unwrap();
                if keeps {
                    let after: Vec<InstanceId> = self.run.running().collect();
                    assert!(before.iter().map(|(id, _)| *id).eq(after), "attempts go on");
                    return;
                }
                for (instance, attempt) in before {
                    let late = EventKind::AttemptEnded { instance, attempt, receipt: Arc::new(receipt(0)) };
                    assert!(self.take(late).is_err(), "attempts of the former engine are fenced");
                }
            }
            248..254 => {
                self.take(EventKind::CancelRequested { reason: "test".to_owned(), force: false }).unwrap();
            }
            _ => self.take(EventKind::CancelRequested { reason: "test".to_owned(), force: true }).unwrap(),
        }
    }

    /// Executors answer everything: the run must end.
    fn finish(&mut self) {
        for round in 0..20_000 {
            if self.run.ended() {
                return;
            }
            let commands = self.run.decide(Millis(self.now));
            if let Some(command) = commands.first() {
                let kind = self.answer(command, 1);
                self.take(kind).unwrap();
            } else if self.run.running().next().is_some() {
                self.end_attempt(0, u8::try_from(round % 8).unwrap());
            } else {
                let due = self.run.next_due_after(Millis(self.now));
                self.now = due.expect("nothing to do, nothing runs, nothing is due: the run is stuck").0;
            }
        }
        panic!("the run does not end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_laws_of_a_run_hold(
        shapes in prop::collection::vec(shape(), 1..7),
        script in prop::collection::vec(any::<(u8, u8, u8)>(), 0..90),
    ) {
        let mut world = World::new(shapes);
        for step in script {
            world.step(step);
        }
        world.finish();
        let ends = world.log.iter().filter(|event| matches!(event.kind, EventKind::RunEnded(_)));
        prop_assert_eq!(ends.count(), 1);
        prop_assert!(matches!(world.log.last().unwrap().kind, EventKind::RunEnded(_)));
        prop_assert!(world.run.jobs().iter().all(|job| job.result.is_some()));
        prop_assert!(world.run.instances().iter().all(|instance| instance.phase == Phase::Ended));
        let late = EventKind::CancelRequested { reason: String::new(), force: true };
        prop_assert_eq!(world.run.admit(late, Millis(0)), Err(Refusal::Ended));
    }
}

#[test]
fn ten_thousand_jobs_in_a_chain_cost_a_constant_amount_each() {
    let jobs = (0..10_000_u32).map(|index| JobDeclared {
        needs: index.checked_sub(1).into_iter().collect(),
        ..JobDeclared::default()
    });
    let created = RunCreated { jobs: jobs.map(Arc::new).collect(), ..RunCreated::default() };
    let mut run = Run::default();
    let world = World::new(vec![Shape {
        needs: 0,
        matrix: 1,
        fail_fast: true,
        max_parallel: None,
        continue_on_error: false,
        attempts: 1,
        cache: false,
        call: false,
        always: false,
        group: false,
        pause: 0.0,
    }]);
    let take = |run: &mut Run, kind| {
        let event = run.admit(kind, Millis(0)).unwrap();
        run.apply(&event);
    };
    take(&mut run, EventKind::RunCreated(Arc::new(created)));
    let (mut named, mut events) = (0, 0);
    while !run.ended() {
        let commands = run.decide(Millis(0));
        named += commands.len();
        let kind = match commands.first() {
            Some(Command::EvaluateJob(job)) => {
                assert!(run.ancestors(*job).len() <= 1);
                let instances = vec![Arc::default()];
                let outcome = JobEvaluation::Instances { instances, fail_fast: true, max_parallel: None };
                EventKind::JobEvaluated { job: *job, outcome }
            }
            Some(Command::EvaluateInstance(instance)) => EventKind::InstanceEvaluated {
                instance: *instance,
                settings: Box::new(InstanceSettings::Ready(Box::default())),
            },
            Some(command) => world.answer(command, 1),
            None => {
                let instance = run.running().next().unwrap();
                EventKind::AttemptEnded { instance, attempt: 1, receipt: Arc::new(receipt(0)) }
            }
        };
        take(&mut run, kind);
        events += 1;
    }
    assert_eq!(events, 10_000 * 7 + 1, "seven events a job and the end");
    assert_eq!(named, 10_000 * 6 + 1, "each command was named once");
}
