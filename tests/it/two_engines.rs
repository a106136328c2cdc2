//! Two engines on one store: they share the machine and the concurrency groups; on one run, the
//! second is told who owns it.

use crate::harness::{Project, until};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use tidegate_edge::store::{RunLog, Store};
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::{EventKind, Run};

/// A job that says when it is there and waits for a file.
fn waits(keys: &str, job: &str) -> String {
    format!(
        "on: workflow_dispatch\n{keys}jobs:\n  a:\n{job}    steps:\n      - run: |\n          touch \"$FOLDER/here-$NAME\"\n          until [ -e \"$FOLDER/go-$NAME\" ]; do sleep 0.01; done\n"
    )
}

fn project(keys: &str, job: &str) -> (Project, Store) {
    let project = Project::workflow(&waits(keys, job));
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    (project, store)
}

fn start(project: &Project, store: &Store, name: &str, more: &[&str]) -> Child {
    let number = u64::try_from(store.list(99).unwrap().len()).unwrap() + 1;
    let folder = format!("FOLDER={}", project.path().display());
    let name = format!("NAME={name}");
    let args = ["run", "--env", &folder, "--env", &name];
    let child = project.spawn(args.iter().chain(more));
    until("its run is in the log", || store.find(&number.to_string()).unwrap());
    child
}

fn here(project: &Project, name: &str) {
    until("the job is there", || project.path().join(format!("here-{name}")).exists().then_some(()));
}

fn run(store: &Store, number: &str) -> Run {
    let row = store.find(number).unwrap().unwrap();
    Run::replay(&store.events(&row.run, 0).unwrap())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// Waits until a run has asked the store for something and stands in its line.
fn stands_in_line(project: &Project, count: i64) {
    let db = rusqlite::Connection::open(project.path().join(".tidegate/runs.db")).unwrap();
    until("it stands in the line", || {
        let all: i64 = db.query_row("SELECT count(*) FROM leases", [], |row| row.get(0)).unwrap();
        (all >= count).then_some(())
    });
}

#[test]
fn runs_of_a_group_go_one_after_the_other() {
    let (project, store) = project("concurrency: deploy\n", "");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let second = start(&project, &store, "2", &[]);
    stands_in_line(&project, 3);
    assert_eq!(run(&store, "2").jobs()[0].instances.len(), 0, "nothing of it was begun");
    project.write("go-2", "");
    project.write("go-1", "");
    project.done(first).code(0);
    project.done(second).code(0).stderr("another run holds concurrency group `deploy`");
    let log = |number: &str| store.events(&store.find(number).unwrap().unwrap().run, 0).unwrap();
    let end = log("1").last().unwrap().at;
    let granted = log("2").iter().find(|e| matches!(e.kind, EventKind::GroupGranted { .. })).unwrap().at;
    // Each engine has a clock of its own, which counts whole milliseconds.
    assert!(granted.0 + 2 >= end.0, "{granted:?} before {end:?}");
}

#[test]
fn a_newer_run_takes_the_place_of_one_that_waits() {
    let (project, store) = project("concurrency: deploy\n", "");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let second = start(&project, &store, "2", &[]);
    stands_in_line(&project, 3);
    let third = start(&project, &store, "3", &[]);
    project.done(second).code(5).stdout("concurrency group `deploy`");
    project.write("go-3", "");
    project.write("go-1", "");
    project.done(first).code(0);
    project.done(third).code(0);
    assert!(!project.path().join("here-2").exists(), "it never began");
}

#[test]
fn cancel_in_progress_ends_the_run_that_holds_the_group() {
    let (project, store) = project("concurrency: { group: deploy, cancel-in-progress: true }\n", "");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    project.write("go-2", "");
    let second = start(&project, &store, "2", &[]);
    project.done(first).code(5).stdout("takes its place");
    project.done(second).code(0);
}

#[test]
fn jobs_of_a_group_go_one_after_the_other_in_two_runs() {
    let (project, store) = project("", "    concurrency: gpu-box\n");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let second = start(&project, &store, "2", &[]);
    stands_in_line(&project, 2);
    assert!(!project.path().join("here-2").exists());
    project.write("go-2", "");
    project.write("go-1", "");
    project.done(first).code(0);
    project.done(second).code(0);
}

/// Both ask for all of the machine: one waits, and goes on at once when the other ends, or is killed.
#[test]
fn two_runs_share_the_machine() {
    let (project, store) = project("", "    resources: { cpu: 4096 }\n");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let second = start(&project, &store, "2", &[]);
    stands_in_line(&project, 2);
    assert!(!project.path().join("here-2").exists());
    project.write("go-1", "");
    project.done(first).code(0);
    here(&project, "2");
    let mut third = start(&project, &store, "3", &[]);
    let fourth = start(&project, &store, "4", &[]);
    stands_in_line(&project, 3);
    project.write("go-2", "");
    project.done(second).code(0).stderr("they wait their turn");
    here(&project, "3");
    third.kill().unwrap();
    third.wait().unwrap();
    // Nobody says that the dead one's share is free.
    project.write("go-4", "");
    project.done(fourth).code(0);
    // Its share is asked for anew by who goes on with it.
    project.write("go-3", "");
    project.tidegate(["run", "--resume", "3"]).code(0);
}

/// An engine that always has something to hear, as on a terminal that is redrawn, still notices that another was killed.
#[test]
fn a_killed_engines_share_is_noticed_while_there_is_much_to_hear() {
    const JOB: &str = "    concurrency: gpu-box\n    resources: { cpu: 1m }\n";
    let (project, store) = project("", JOB);
    let mut first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let other = "  loud:\n    resources: { cpu: 1m }\n    steps:\n      - run: until [ -e \"$FOLDER/here-2\" ] || [ -e \"$FOLDER/stop\" ]; do echo line; sleep 0.02; done\n";
    project.write(".ml/workflows/test.yml", &(waits("", JOB) + other));
    project.write("go-2", "");
    let second = start(&project, &store, "2", &["--jobs", "4"]);
    stands_in_line(&project, 3);
    until("the other job speaks", || {
        let log = project.tidegate(["runs", "logs", "2", "loud"]).stdout;
        log.contains("line").then_some(())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    here(&project, "2");
    project.done(second).code(0);
}

/// Many small jobs of two runs on one machine: never more at once than there are cores, and both get on.
#[test]
fn no_more_jobs_than_cores_over_both_runs() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    strategy: { matrix: { i: [1, 2, 3, 4, 5, 6, 7, 8] } }\n    steps:\n      - run: echo + >> $FOLDER/log; sleep 0.02; echo - >> $FOLDER/log\n";
    let project = Project::workflow(text);
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let (first, second) = (start(&project, &store, "1", &[]), start(&project, &store, "2", &[]));
    project.done(first).code(0);
    project.done(second).code(0);
    let cores = i64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let (mut now, mut most, mut ends) = (0, 0, 0);
    for line in std::fs::read_to_string(project.path().join("log")).unwrap().lines() {
        now += if line == "+" { 1 } else { -1 };
        ends += i64::from(line == "-");
        most = most.max(now);
    }
    assert_eq!(ends, 16);
    assert!(most <= cores, "{most} at once on {cores} cores");
}

#[test]
fn a_second_engine_on_a_run_is_told_who_owns_it() {
    let (project, store) = project("", "");
    let mut first = start(&project, &store, "1", &[]);
    here(&project, "1");
    let pid = first.id().to_string();
    let refused = |project: &Project| {
        let done = project.tidegate(["run", "--resume", "1"]).code(4);
        done.stderr(&format!("run 1 belongs to process {pid}")).stderr("tidegate runs watch 1");
    };
    refused(&project);
    // One that is stopped lives.
    signal(&first, Signal::STOP);
    refused(&project);
    signal(&first, Signal::CONT);
    project.write("go-1", "");
    assert!(first.wait().unwrap().success());
}

/// A stopped owner whose lock was taken away wakes up in a world where its run is another's: it is
/// fenced by its epoch, writes nothing more and ends what it runs.
#[test]
fn an_owner_that_wakes_after_a_takeover_is_fenced() {
    let (project, store) = project("", "");
    let first = start(&project, &store, "1", &[]);
    here(&project, "1");
    signal(&first, Signal::STOP);
    project.sh("rm .tidegate/locks/*");
    let second = project.spawn(["run", "--resume", "1"]);
    let wanted =
        |e: &tidegate_flow::run::RunEvent| matches!(e.kind, EventKind::AttemptStarted { attempt: 2, .. });
    let ulid = store.find("1").unwrap().unwrap().run;
    until("the new owner runs it", || store.events(&ulid, 0).unwrap().iter().any(wanted).then_some(()));
    // A word for the former owner to write down.
    signal(&first, Signal::INT);
    signal(&first, Signal::CONT);
    project.done(first).code(4).stderr("run 1 was taken over by another process");
    project.write("go-1", "");
    project.done(second).code(0);
    let run = run(&store, "1");
    assert!(run.cancelled().is_none(), "nothing of what the former owner heard is in the log");
    assert_eq!(run.instances()[0].outcome, Some(Conclusion::Success));
}

/// Instances of one run in one group: GitHub lets one run and one wait; the last who comes waits.
#[test]
fn instances_of_a_group_replace_who_waits() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    strategy: { matrix: { i: [1, 2, 3, 4] } }\n    concurrency: one\n    steps:\n      - run: echo ${{ matrix.i }} >> $FOLDER/log\n";
    let project = Project::workflow(text);
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let child = start(&project, &store, "1", &[]);
    project.done(child).code(5).stdout("a newer one waits for concurrency group `one`");
    assert_eq!(std::fs::read_to_string(project.path().join("log")).unwrap(), "1\n4\n");
    let all = text.replace("concurrency: one", "concurrency: { group: one, queue: max }");
    project.write(".ml/workflows/test.yml", &all);
    project.sh("rm log");
    let child = start(&project, &store, "2", &[]);
    project.done(child).code(0);
    assert_eq!(std::fs::read_to_string(project.path().join("log")).unwrap(), "1\n2\n3\n4\n");
}

#[test]
fn a_group_inside_itself_is_no_dead_end() {
    let text = "on: workflow_dispatch\nconcurrency: one\njobs:\n  a:\n    concurrency: One\n    steps: [{ run: 'true' }]\n";
    let project = Project::workflow(text);
    project.tidegate(["run"]).code(5).stdout("concurrency group `One` is held by the run");
}

#[test]
fn a_call_holds_its_group_over_all_its_jobs() {
    let project = Project::workflow(
        "on: workflow_dispatch\njobs:\n  call:\n    concurrency: one\n    uses: ./.ml/workflows/inner.yml\n",
    )
    .file(".ml/workflows/inner.yml", &waits("", "").replace("workflow_dispatch", "workflow_call"));
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let file = ".ml/workflows/test.yml";
    let mut first = start(&project, &store, "1", &[file]);
    here(&project, "1");
    let second = start(&project, &store, "2", &[file]);
    stands_in_line(&project, 3);
    assert!(!project.path().join("here-2").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    here(&project, "2");
    // The dead one's run goes on when the group is free again.
    let third = project.spawn(["run", "--resume", "1"]);
    stands_in_line(&project, 3);
    project.write("go-1", "");
    project.write("go-2", "");
    project.done(second).code(0);
    project.done(third).code(0);
}

#[test]
fn who_waits_for_much_keeps_nobody_waiting_who_needs_little() {
    let text = "on: workflow_dispatch\njobs:\n  many:\n    resources: { gpu: 1 }\n    strategy:\n      matrix:\n        i: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]\n    steps:\n      - run: until [ -e $FOLDER/go ]; do sleep 0.01; done; echo ${{ matrix.i }} $CUDA_VISIBLE_DEVICES >> $FOLDER/log\n  small:\n    steps:\n      - run: touch $FOLDER/here-small\n";
    let project = Project::workflow(text);
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let child = start(&project, &store, "1", &["--jobs", "4", "--gpus", "1"]);
    here(&project, "small");
    project.write("go", "");
    project.done(child).code(0);
    // In the order of the matrix, one GPU after the other.
    let wanted: String = (1..=20).map(|i| format!("{i} 0\n")).collect::<Vec<_>>().concat();
    assert_eq!(std::fs::read_to_string(project.path().join("log")).unwrap(), wanted);
    let db = rusqlite::Connection::open(project.path().join(".tidegate/runs.db")).unwrap();
    let left: i64 = db.query_row("SELECT count(*) FROM leases", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "nothing is held by a run that ended");
}
