//! Decides and logs N events of one run, reads them back and replays them; beside it the same bytes through a plain file.
//!
//! usage: `cargo bench --bench events -- N FOLDER`; prints a line a figure: name, seconds, seconds of the floor.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic, and prints its figures")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidegate_edge::store::{RunLog as _, Store, Sync};
use tidegate_flow::job::{Conclusion, Receipt};
use tidegate_flow::run::{
    Command, EventKind, InstanceSettings, JobDeclared, JobEvaluation, Millis, Run, RunCreated, RunEvent,
};
use tidegate_flow::wire::v1::encode_event;

/// Events of a job without a cache: evaluated twice, slot, started, ended three times over.
const EVENTS_OF_A_JOB: usize = 7;

fn main() {
    let given: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let count: usize = given[1].parse().unwrap();
    let folder = Path::new(&given[2]).join("events");
    let created = RunCreated {
        run: "01BENCH".to_owned(),
        jobs: jobs(count / EVENTS_OF_A_JOB),
        ..RunCreated::default()
    };
    let first = RunEvent { at: Millis(0), kind: EventKind::RunCreated(Arc::new(created)) };

    let started = Instant::now();
    let mut store = Store::open(&folder.join("store")).unwrap();
    let owned = store.create(&first).unwrap();
    let mut run = Run::replay(&store.events(&owned.run, 0).unwrap());
    let mut log = vec![first];
    while !run.ended() {
        let events = turn(&mut run);
        let sync = if run.ended() { Sync::Disk } else { Sync::Process };
        store.append(&owned, &events, sync).unwrap();
        log.extend(events);
    }
    let written = started.elapsed();

    let bodies: Vec<Vec<u8>> = log.iter().map(|event| encode_event(event).unwrap()).collect();
    let started = Instant::now();
    let plain = folder.join("plain");
    let mut file = std::fs::File::create(&plain).unwrap();
    bodies.iter().for_each(|body| file.write_all(body).unwrap());
    file.sync_data().unwrap();
    line(&format!("{} events, logged", log.len()), written.as_secs_f64(), started.elapsed().as_secs_f64());

    let started = Instant::now();
    let read = Run::replay(&store.events(&owned.run, 0).unwrap());
    let replayed = started.elapsed();
    assert!(read == run, "replay gives the live state");
    let started = Instant::now();
    assert!(!std::fs::read(&plain).unwrap().is_empty());
    line(&format!("{} events, replayed", log.len()), replayed.as_secs_f64(), started.elapsed().as_secs_f64());
}

fn line(name: &str, ours: f64, floor: f64) {
    println!("{name}\t{ours:.6}\t{floor:.6}");
}

fn jobs(count: usize) -> Vec<Arc<JobDeclared>> {
    let job = |index| JobDeclared {
        id: format!("j{index}"),
        display: format!("j{index}"),
        ..JobDeclared::default()
    };
    (0..count).map(job).map(Arc::new).collect()
}

/// What an engine with two slots does in one turn, with attempts that succeed at once.
fn turn(run: &mut Run) -> Vec<RunEvent> {
    let mut events = Vec::new();
    let running: Vec<_> = run.running().collect();
    for instance in running {
        let attempt = run.instance(instance).map_or(1, |state| state.attempt);
        take(run, &mut events, EventKind::AttemptEnded { instance, attempt, receipt: Arc::new(receipt()) });
    }
    loop {
        let commands = run.decide_some(Millis(0), 4);
        let before = events.len();
        for command in commands {
            if let Some(kind) = answer(command) {
                take(run, &mut events, kind);
            }
        }
        if events.len() == before || run.ended() {
            return events;
        }
    }
}

fn take(run: &mut Run, events: &mut Vec<RunEvent>, kind: EventKind) {
    let event = run.admit(kind, Millis(0)).unwrap();
    run.apply(&event);
    events.push(event);
}

fn answer(command: Command) -> Option<EventKind> {
    Some(match command {
        Command::EvaluateJob(job) => {
            let instances = vec![Arc::default()];
            let outcome = JobEvaluation::Instances { instances, fail_fast: true, max_parallel: None };
            EventKind::JobEvaluated { job, outcome }
        }
        Command::EvaluateInstance(instance) => {
            let settings = Box::new(InstanceSettings::Ready(Box::default()));
            EventKind::InstanceEvaluated { instance, settings }
        }
        Command::RequestSlot(instance) => EventKind::SlotGranted { instance, gpus: None },
        Command::StartAttempt { instance, attempt } => {
            let token = format!("01BENCH.{}.{attempt}", instance.0);
            EventKind::AttemptStarted { instance, attempt, token, spec: String::new() }
        }
        Command::Record(kind) => kind,
        _ => return None,
    })
}

fn receipt() -> Receipt {
    Receipt { reason: None, ..Receipt::bare(Conclusion::Success, None, String::new()) }
}
