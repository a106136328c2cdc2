//! The store when processes die and disks fill: what was acknowledged stays, once and in order.
//!
//! The parts that must die run as this same test binary, called for one ignored test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tidegate_edge::store::{RunLog, Store, StoreError, Sync};
use tidegate_flow::job::Conclusion;
use tidegate_flow::run::{EventKind, JobId, Millis, RunCreated, RunEvent};

const FOLDER: &str = "TIDEGATE_TEST_STORE";

fn created() -> RunEvent {
    let created = RunCreated { run: "01KILL".to_owned(), ..RunCreated::default() };
    RunEvent { at: Millis(0), kind: EventKind::RunCreated(Arc::new(created)) }
}

fn nth(nth: u32) -> RunEvent {
    let kind = EventKind::JobEnded { job: JobId(nth), result: Conclusion::Success };
    RunEvent { at: Millis(i64::from(nth)), kind }
}

/// Starts one of the ignored tests below as a process of its own, through `sh` with `before` in front.
fn child(name: &str, store: &Path, before: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" --exact \"$1\" --ignored --nocapture --test-threads 1")])
        .arg(this)
        .arg(format!("store_kill::{name}"))
        .env(FOLDER, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Appends three events at a time, and says each count after it was acknowledged.
#[test]
#[ignore = "killed by the tests below"]
fn writes_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("called by a test");
    let mut store = Store::open(Path::new(&folder)).unwrap();
    let run = match store.own("01KILL") {
        Err(StoreError::NoSuchRun(_)) => store.create(&created()).unwrap(),
        owned => owned.unwrap(),
    };
    let mut next = u32::try_from(store.events("01KILL", 0).unwrap().len()).unwrap();
    loop {
        match store.append(&run, &[nth(next), nth(next + 1), nth(next + 2)], Sync::Process) {
            Ok(()) => next += 3,
            Err(error) => {
                println!("failed: {error}");
                return;
            }
        }
        println!("kept {next}");
    }
}

fn kept(line: &str) -> Option<usize> {
    line.rsplit_once("kept ").and_then(|(_, count)| count.trim().parse().ok())
}

#[test]
fn an_acknowledged_event_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5_usize {
        let mut child = child("writes_until_it_is_killed", folder.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = 0;
        for count in lines.by_ref().filter_map(|line| kept(&line)).take(7 + 41 * round) {
            acknowledged = count;
        }
        assert!(acknowledged > 0, "the child wrote nothing");
        let mut store = Store::open(folder.path()).unwrap();
        assert!(matches!(store.own("01KILL"), Err(StoreError::Owned { .. })), "its owner lives");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said between the last line read and its death counts, too.
        let acknowledged = lines.filter_map(|line| kept(&line)).last().unwrap_or(acknowledged);
        let events = store.events("01KILL", 0).unwrap();
        assert!(events.len() >= acknowledged, "{} of {acknowledged} are left", events.len());
        assert_eq!(events.len() % 3, 1, "an append is there as a whole or not at all");
        for (at, event) in events.iter().enumerate().skip(1) {
            assert_eq!(event, &nth(u32::try_from(at).unwrap()));
        }
        assert_eq!(store.find("01KILL").unwrap().unwrap().owner, None, "it fell free with its owner");
    }
}

#[test]
fn two_processes_share_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child("writes_until_it_is_killed", folder.path(), "");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| kept(&line).is_some()));
    let mut store = Store::open(folder.path()).unwrap();
    let other = RunCreated { run: "01OTHER".to_owned(), ..RunCreated::default() };
    let run =
        store.create(&RunEvent { at: Millis(0), kind: EventKind::RunCreated(Arc::new(other)) }).unwrap();
    assert_eq!(run.number, 2);
    for at in 1..40 {
        store.append(&run, &[nth(at)], Sync::Process).unwrap();
    }
    assert_eq!(store.list(9).unwrap().iter().filter(|row| row.owner.is_some()).count(), 2);
    // What it said before is still in the pipe.
    let before = store.events("01KILL", 0).unwrap().len();
    assert!(lines.any(|line| kept(&line) > Some(before)), "the other one writes on");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.events("01OTHER", 0).unwrap().len(), 40);
}

/// A limit on the size of files stands for a full disk: SQLite's write fails half way.
#[test]
fn a_disk_that_fills_up_is_an_error_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    // Without the trap, the system would end the process at the limit.
    let mut child = child("writes_until_it_is_killed", folder.path(), "trap '' XFSZ; ulimit -f 400;");
    let said: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None);
    assert!(said.iter().any(|line| line.contains("failed: ")), "{:?}", said.last());
    let acknowledged = said.iter().rev().find_map(|line| kept(line)).unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(store.events("01KILL", 0).unwrap().len(), acknowledged);
    let run = store.own("01KILL").unwrap();
    store.append(&run, &[nth(1)], Sync::Disk).unwrap();
}
