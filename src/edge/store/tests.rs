//! The log against its promises: order, ownership, wishes, cache, leases, versions, faults.

use super::*;
use std::path::Path;
use std::sync::Arc;
use tidegate_flow::job::{Conclusion, SourceSpec};
use tidegate_flow::queue::{Capacity, Need, Request};
use tidegate_flow::run::{
    CacheKey, ConcurrencyGroup, EventKind, JobId, Millis, RunCreated, RunEvent, RunSummary,
};

fn created(run: &str) -> RunEvent {
    let source = SourceSpec { commit: "4f2a91c".to_owned(), ..SourceSpec::default() };
    let created = RunCreated {
        run: run.to_owned(),
        workflow: ".ml/workflows/digits.yml".to_owned(),
        event: "push".to_owned(),
        contexts: [("github".to_owned(), serde_json::json!({"ref_name": "main"}))].into(),
        source,
        ..RunCreated::default()
    };
    RunEvent { at: Millis(5), kind: EventKind::RunCreated(Arc::new(created)) }
}

fn nth(job: u32) -> RunEvent {
    let kind = EventKind::JobEnded { job: JobId(job), result: Conclusion::Success };
    RunEvent { at: Millis(i64::from(job)), kind }
}

fn ended() -> RunEvent {
    let summary: RunSummary = serde_json::from_value(serde_json::json!({
        "conclusion": "success", "gate": false, "tool_failure": false, "counts": [1, 0, 0, 0], "cached": 0,
        "artifact_bytes": 0, "metrics": {}, "artifacts": {}, "duration_ms": 9
    }))
    .unwrap();
    RunEvent { at: Millis(9), kind: EventKind::RunEnded(Box::new(summary)) }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join(".tidegate")).unwrap();
    (folder, store)
}

fn again(store: &Store) -> Store {
    Store::open(store.dir()).unwrap()
}

#[test]
fn events_come_back_in_order_and_the_number_is_the_stores() {
    let (_folder, mut store) = store();
    let run = store.create(&created("01A")).unwrap();
    assert_eq!((run.number, run.epoch), (1, 1));
    store.append(&run, &[nth(1), nth(2)], Sync::Process).unwrap();
    store.append(&run, &[nth(3)], Sync::Disk).unwrap();
    let events = again(&store).events("01A", 0).unwrap();
    assert_eq!(&events[1..], [nth(1), nth(2), nth(3)]);
    assert!(matches!(&events[0].kind, EventKind::RunCreated(first) if first.number == 1));
    assert_eq!(store.events("01A", 3).unwrap(), [nth(3)]);
    assert_eq!(store.events("01A", 4).unwrap(), []);
    assert!(matches!(store.events("01B", 0), Err(StoreError::NoSuchRun(_))));
}

#[test]
fn a_first_event_is_read_without_those_after_it() {
    let (_folder, mut store) = store();
    store.create(&created("01A")).unwrap();
    let broken = "INSERT INTO events (place, body) SELECT (number << 32) + 1, x'00' FROM runs";
    assert_eq!(store.db.execute(broken, []).unwrap(), 1);
    assert!(matches!(store.events("01A", 0), Err(StoreError::Decode { seq: 1, .. })));
    assert!(
        matches!(store.first_event("01A").unwrap().kind, EventKind::RunCreated(first) if first.run == "01A")
    );
    assert!(matches!(store.first_event("01B"), Err(StoreError::NoSuchRun(_))));
}

#[test]
fn a_store_may_be_made_by_several_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            let open = || Store::open(&folder.path().join("store")).map(|store| store.list(1).unwrap().len());
            let opened: Vec<_> = (0..6).map(|_| threads.spawn(open)).collect();
            opened.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap().unwrap(), 0));
        });
    }
}

#[test]
fn a_second_engine_is_told_who_owns_the_run() {
    let (_folder, mut first) = store();
    let run = first.create(&created("01A")).unwrap();
    let mut second = again(&first);
    assert!(
        matches!(second.own("01A"), Err(StoreError::Owned { number: 1, pid }) if pid == std::process::id())
    );
    assert_eq!(second.find("1").unwrap().unwrap().owner, Some(std::process::id()));
    first.release(&run).unwrap();
    let taken = second.own("01A").unwrap();
    assert_eq!(taken.epoch, 2);
    assert!(matches!(first.append(&run, &[nth(1)], Sync::Process), Err(StoreError::TakenOver(1))));
    assert_eq!(second.events("01A", 0).unwrap().len(), 1, "nothing of the refused append is there");
    second.append(&taken, &[nth(1)], Sync::Process).unwrap();
}

#[test]
fn a_run_falls_free_with_its_owner() {
    let (_folder, mut first) = store();
    first.create(&created("01A")).unwrap();
    let mut second = again(&first);
    drop(first);
    assert_eq!(second.find("01A").unwrap().unwrap().owner, None);
    assert_eq!(second.own("01A").unwrap().epoch, 2);
}

#[test]
fn runs_are_found_by_number_and_by_the_start_of_their_name() {
    let (_folder, mut store) = store();
    for run in ["01AB", "01AC", "01B0"] {
        store.create(&created(run)).unwrap();
    }
    let name = |text: &str| store.find(text).unwrap().map(|row| row.run);
    assert_eq!(name("2").as_deref(), Some("01AC"));
    assert_eq!(name("#3").as_deref(), Some("01B0"));
    assert_eq!(name("01b").as_deref(), Some("01B0"));
    for none in ["", "4", "99999999999999999999", "*", "01AB'", "é"] {
        assert_eq!(name(none), None, "{none}");
    }
    assert!(matches!(store.find("01A"), Err(StoreError::Ambiguous(_))));
    let rows = store.list(2).unwrap();
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [3, 2]);
    assert_eq!((rows[0].branch.as_str(), rows[0].commit.as_str(), rows[0].created), ("main", "4f2a91c", 5));
}

#[test]
fn a_list_has_the_summary_of_a_run_that_ended() {
    let (_folder, mut store) = store();
    let run = store.create(&created("01A")).unwrap();
    assert_eq!(store.list(9).unwrap()[0].summary, None);
    store.append(&run, &[nth(0), ended()], Sync::Disk).unwrap();
    assert_eq!(store.list(9).unwrap()[0].summary.as_ref().unwrap().duration_ms, 9);
}

#[test]
fn wishes_are_taken_once_and_in_order() {
    let (_folder, mut store) = store();
    let run = store.create(&created("01A")).unwrap();
    let mut other = again(&store);
    other.request("01A", "cancel", "runs cancel").unwrap();
    other.request("01A", "kill", "again").unwrap();
    assert!(matches!(other.request("01B", "kill", ""), Err(StoreError::NoSuchRun(_))));
    let pair = |wish: &str, reason: &str| (wish.to_owned(), reason.to_owned());
    assert_eq!(store.wishes(&run).unwrap(), [pair("cancel", "runs cancel"), pair("kill", "again")]);
    assert_eq!(store.wishes(&run).unwrap(), []);
}

#[test]
fn receipts_are_found_by_key_in_the_order_asked() {
    let (_folder, mut store) = store();
    let key = |text: &str| CacheKey { key: text.to_owned(), ..CacheKey::default() };
    let receipt: tidegate_flow::job::Receipt = serde_json::from_value(serde_json::json!({
        "conclusion": "success", "class": null, "exit": null, "reason": null, "failed_step": null, "outputs": {},
        "metrics": {}, "goals": {}, "params": {}, "artifacts": {}, "uploads": {}, "summary": "",
        "environment_url": null, "log": 0, "duration_ms": 1
    }))
    .unwrap();
    let entry = |number| CacheEntry { run: "01A".to_owned(), number, receipt: receipt.clone() };
    store.keep(&key("a"), &entry(1)).unwrap();
    store.keep(&key("b"), &entry(2)).unwrap();
    store.keep(&key("b"), &entry(3)).unwrap();
    let asked = ["b", "x'\"", "a", "b"].map(str::to_owned);
    let found = store.cached_many(&asked).unwrap();
    let numbers: Vec<_> = found.iter().map(|one| one.as_ref().map(|entry| entry.number)).collect();
    assert_eq!(numbers, [Some(3), None, Some(1), Some(3)]);
    assert_eq!(store.cached("x").unwrap(), None);
    assert_eq!(store.cached_many(&[]).unwrap(), []);
}

fn machine() -> Capacity {
    Capacity { cpu_millis: 2000, memory_bytes: 0, gpus: [0, 1, 2].into() }
}

fn asks(key: &str, gpus: u32) -> (String, Request) {
    let need = Some(Need { cpu_millis: 500, memory_bytes: 0, gpus });
    (key.to_owned(), Request { run: key[..1].to_owned(), need, ..Request::default() })
}

fn in_group(key: &str, cancel_in_progress: bool) -> (String, Request) {
    let group = ConcurrencyGroup { group: "Deploy".to_owned(), cancel_in_progress, queue_all: false };
    (key.to_owned(), Request { run: key.to_owned(), group: Some(group), ..Request::default() })
}

fn held(line: &Line) -> Vec<(&str, Option<Vec<u32>>)> {
    line.mine.iter().map(|place| (place.key.as_str(), place.held.clone())).collect()
}

#[test]
fn leases_are_shared_and_fall_with_their_process() {
    let (_folder, mut first) = store();
    let mut second = again(&first);
    let line = first.stand(&machine(), &[], &[asks("a1", 2)]).unwrap();
    assert_eq!(held(&line), [("a1", Some(vec![0, 1]))]);
    assert!(!line.others && line.wake.is_empty());
    let line = second.stand(&machine(), &[], &[asks("b1", 2), asks("b2", 1)]).unwrap();
    assert_eq!(held(&line), [("b1", None), ("b2", Some(vec![2]))]);
    assert_eq!((line.others, &line.wake[..]), (true, &[std::process::id()][..]), "who holds it is told");
    assert!(first.changed().unwrap() && !first.changed().unwrap());
    // Giving back grants to whoever is next, wherever it is.
    let line = first.stand(&machine(), &["a1".to_owned()], &[]).unwrap();
    assert_eq!((held(&line).len(), line.wake.len()), (0, 1));
    let line = second.stand(&machine(), &[], &[]).unwrap();
    assert_eq!(held(&line), [("b1", Some(vec![0, 1])), ("b2", Some(vec![2]))]);
    let line = first.stand(&machine(), &[], &[asks("a2", 3)]).unwrap();
    assert_eq!(held(&line), [("a2", None)]);
    drop(second);
    let line = first.stand(&machine(), &[], &[]).unwrap();
    assert_eq!(held(&line), [("a2", Some(vec![0, 1, 2]))]);
    assert!(!line.others);
}

#[test]
fn a_group_has_one_holder_in_all_processes() {
    let (_folder, mut first) = store();
    let mut second = again(&first);
    let line = first.stand(&machine(), &[], &[in_group("a", false)]).unwrap();
    assert_eq!(held(&line), [("a", Some(vec![]))]);
    assert_eq!(held(&second.stand(&machine(), &[], &[in_group("b", false)]).unwrap()), [("b", None)]);
    // A newcomer takes the place of who waits.
    assert_eq!(held(&first.stand(&machine(), &[], &[in_group("c", false)]).unwrap())[1], ("c", None));
    let replaced = second.stand(&machine(), &[], &[]).unwrap();
    assert_eq!(replaced.mine[0].replaced.as_deref(), Some("Deploy"));
    assert_eq!(second.stand(&machine(), &[], &[]).unwrap().mine, []);
    // Another one wants it now: the holder is to stop, until it does nothing changes.
    second.stand(&machine(), &[], &[in_group("d", true)]).unwrap();
    let told = first.stand(&machine(), &[], &[]).unwrap();
    assert_eq!(told.mine[0].stop.as_deref(), Some("Deploy"));
    assert_eq!(told.mine[1].replaced.as_deref(), Some("Deploy"));
    first.stand(&machine(), &["a".to_owned()], &[]).unwrap();
    assert_eq!(held(&second.stand(&machine(), &[], &[]).unwrap()), [("d", Some(vec![]))]);
}

/// Each column and trigger of a store, as text.
fn tables(store: &Store) -> Vec<String> {
    let mut ask = store
        .db
        .prepare(
            "SELECT t.type || ' ' || t.tbl_name || ' ' || coalesce(c.name || ' ' || c.type || ' ' || c.\"notnull\"
                 || ' ' || c.pk || ' ' || l.strict || ' ' || l.wr, t.sql)
             FROM sqlite_schema AS t LEFT JOIN pragma_table_info(t.name) AS c
                 LEFT JOIN pragma_table_list(t.name) AS l WHERE t.sql IS NOT NULL ORDER BY 1",
        )
        .unwrap();
    let rows = ask.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn an_older_store_is_brought_forward_and_a_newer_one_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(schema::FIRST).unwrap();
    db.execute_batch(
        "INSERT INTO runs VALUES (7, '01A', 'w.yml', 'push', 'main', 'c', 5, NULL, 1, 1, NULL, NULL);
         INSERT INTO events VALUES (7, 0, CAST('{\"v\":1,\"at\":5,\"kind\":{\"job-ended\":{\"job\":1,\"result\":\"success\"}}}' AS BLOB));
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(db);
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(store.events("01A", 0).unwrap().len(), 1);
    assert_eq!(held(&store.stand(&machine(), &[], &[asks("a", 1)]).unwrap()).len(), 1);
    assert_eq!(store.create(&created("01B")).unwrap().number, 8);
    let new = tempfile::tempdir().unwrap();
    assert_eq!(tables(&store), tables(&Store::open(new.path()).unwrap()));
    store.db.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Newer { found: 99, known: 4, .. })));
}

#[test]
fn events_can_be_neither_changed_nor_deleted() {
    let (_folder, mut store) = store();
    store.create(&created("01A")).unwrap();
    for change in ["UPDATE events SET body = x'00'", "DELETE FROM events"] {
        assert!(store.db.execute(change, []).unwrap_err().to_string().contains("append-only"));
    }
    assert_eq!(store.events("01A", 0).unwrap().len(), 1);
}

#[test]
fn the_folder_hides_itself_from_git_and_says_where_it_cannot_be() {
    let (_folder, store) = store();
    assert_eq!(std::fs::read_to_string(store.dir().join(".gitignore")).unwrap(), "*\n");
    let file = store.dir().join("plain");
    std::fs::write(&file, "").unwrap();
    for place in [file.join("below").as_path(), Path::new("/proc/tidegate-store")] {
        let error = Store::open(place).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.to_string().contains(place.to_str().unwrap()), "{error}");
    }
}

/// At every write: what was acknowledged is there, in order and once.
#[test]
fn a_fault_at_any_write_loses_and_doubles_nothing() {
    for moment in [Moment::Once, Moment::Before, Moment::After] {
        for at in 0..5 {
            let (_folder, store) = store();
            let keep = again(&store);
            let mut log = FaultyLog::new(store, at, moment);
            let mut heard = Vec::new();
            if let Ok(run) = log.create(&created("01A")) {
                for job in 0..4 {
                    if log.append(&run, &[nth(job)], Sync::Process).is_ok() {
                        heard.push(nth(job));
                    } else if moment != Moment::Once {
                        break;
                    }
                }
                let mut stored = keep.events("01A", 1).unwrap();
                if moment == Moment::After {
                    assert_eq!(stored.pop(), Some(nth(u32::try_from(at).unwrap() - 1)), "the unheard one");
                }
                assert_eq!(stored, heard, "{moment:?} at {at}");
            } else {
                assert_eq!(keep.events("01A", 0).is_ok(), moment == Moment::After);
            }
        }
    }
}

#[test]
fn the_last_good_run_is_one_of_the_project() {
    let (_folder, mut store) = store();
    for (run, project, good) in [
        ("01A", "", true),
        ("01B", "a", true),
        ("01C", "b", true),
        ("01D", "a", false),
        ("01E", "a//ml", true),
    ] {
        let mut first = created(run);
        if let EventKind::RunCreated(created) = &mut first.kind {
            Arc::make_mut(created).project = project.to_owned();
        }
        let owned = store.create(&first).unwrap();
        if good {
            store.append(&owned, &[ended()], Sync::Process).unwrap();
        }
    }
    let good = |project: &str, before| {
        let row = store.last_good(project, ".ml/workflows/digits.yml", "main", before).unwrap();
        row.map(|row| row.number)
    };
    for (project, before, found) in [
        ("", 9, Some(1)),
        ("a", 9, Some(2)),
        ("b", 9, Some(3)),
        ("a//ml", 9, Some(5)),
        ("a", 2, None),
        ("c", 9, None),
    ] {
        assert_eq!(good(project, before), found, "{project} before {before}");
    }
}
