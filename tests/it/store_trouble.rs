//! A store that cannot be used: each trouble is told with what to do, exit code 4, and nothing is lost.

use crate::harness::Project;

const WORKFLOW: &str = "on: workflow_dispatch\njobs:\n  a:\n    steps:\n      - run: echo done\n";

/// SQLite's name for the version of the tables.
fn database(project: &Project) -> rusqlite::Connection {
    rusqlite::Connection::open(project.path().join(".tidegate/runs.db")).unwrap()
}

#[test]
fn a_newer_store_is_left_alone() {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["run"]).code(0);
    database(&project).pragma_update(None, "user_version", 99).unwrap();
    for args in [&["run"][..], &["runs", "list"], &["run", "--resume", "1"], &["why", "a"]] {
        let done = project.tidegate(args).code(4);
        done.stderr("has version 99; this tidegate knows versions up to 4")
            .stderr("help: a newer tidegate wrote it");
    }
    database(&project).pragma_update(None, "user_version", 4).unwrap();
    project.tidegate(["runs", "show", "1"]).code(0).stdout("passed");
}

/// The tables and a run as the first version of the store wrote them.
const FIRST: &str = r#"
CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL,
    event TEXT NOT NULL, branch TEXT NOT NULL, commit_id TEXT NOT NULL, created INTEGER NOT NULL, summary TEXT,
    events INTEGER NOT NULL, epoch INTEGER NOT NULL, owner INTEGER, owner_lock TEXT) STRICT;
CREATE TABLE events (run INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, seq))
    STRICT, WITHOUT ROWID;
CREATE TABLE wishes (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, wish TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE cache (key TEXT PRIMARY KEY, run TEXT NOT NULL, number INTEGER NOT NULL, parts TEXT NOT NULL,
    receipt TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO runs VALUES (7, '01JDOLDRUN', '.ml/workflows/old.yml', 'push', 'main', '4f2a91c', 1700000000000,
    '{"conclusion":"success","gate":false,"tool_failure":false,"counts":[1,0,0,0],"cached":0,"artifact_bytes":0,"metrics":{},"artifacts":{},"duration_ms":1500}',
    4, 1, NULL, NULL);
INSERT INTO events VALUES (7, 0, CAST('{"v":1,"at":1700000000000,"kind":{"run-created":{"run":"01JDOLDRUN","number":7,"semantics":1,"workflow":".ml/workflows/old.yml","name":"old","run_name":null,"texts":{},"event":"push","payload":{},"contexts":{"github":{"ref_name":"main"}},"source":{"commit":"4f2a91c","dirty":false,"tree":"","project":"","in_place":null},"rerun_of":null,"concurrency":null,"options":{},"jobs":[{"id":"a","workflow":".ml/workflows/old.yml","display":"a","needs":[],"call":false}]}}}' AS BLOB));
INSERT INTO events VALUES (7, 1, CAST('{"v":1,"at":1700000000001,"kind":{"job-evaluated":{"job":0,"outcome":{"instances":{"instances":[{"display":"a","matrix":null}],"fail_fast":true,"max_parallel":null}}}}}' AS BLOB));
INSERT INTO events VALUES (7, 2, CAST('{"v":1,"at":1700000000500,"kind":{"instance-ended":{"instance":0,"outcome":"success","conclusion":"success","outputs":{}}}}' AS BLOB));
INSERT INTO events VALUES (7, 3, CAST('{"v":1,"at":1700000001500,"kind":{"run-ended":{"conclusion":"success","gate":false,"tool_failure":false,"counts":[1,0,0,0],"cached":0,"artifact_bytes":0,"metrics":{},"artifacts":{},"duration_ms":1500}}}' AS BLOB));
PRAGMA user_version = 1;
"#;

#[test]
fn the_first_versions_store_is_listed_shown_and_goes_on() {
    let project = Project::workflow(WORKFLOW);
    std::fs::create_dir(project.path().join(".tidegate")).unwrap();
    database(&project).execute_batch(FIRST).unwrap();
    project.tidegate(["runs", "list"]).code(0).stdout("7").stdout("passed");
    project.tidegate(["runs", "show", "7"]).code(0).stdout("run 7").stdout("passed");
    project.tidegate(["run"]).code(0).stdout("run 8");
    let version: i64 = database(&project).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 4);
}

#[test]
fn a_damaged_database_is_told_from_an_empty_one() {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["run"]).code(0);
    project.sh(
        "rm -f .tidegate/runs.db-*; echo this is no database, whatever its name says > .tidegate/runs.db",
    );
    for args in [&["run"][..], &["runs", "list"]] {
        let done = project.tidegate(args).code(4);
        done.stderr("runs.db cannot be read").stderr("help: `sqlite3");
    }
    project.sh("grep -q 'no database' .tidegate/runs.db && mv .tidegate/runs.db old");
    project.tidegate(["run"]).code(0);
}

/// A page in the middle of the tables is overwritten.
#[test]
fn a_damaged_page_is_no_panic() {
    let project = Project::workflow(WORKFLOW);
    for _ in 0..3 {
        project.tidegate(["run"]).code(0);
    }
    database(&project).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let path = project.path().join(".tidegate/runs.db");
    let bytes = std::fs::read(&path).unwrap();
    for page in 1..bytes.len() / 4096 {
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xA5);
        project.sh("rm -f .tidegate/runs.db-*");
        std::fs::write(&path, damaged).unwrap();
        for args in [&["runs", "show", "1"][..], &["runs", "list"]] {
            let code = project.tidegate(args).code;
            assert!(matches!(code, Some(0 | 2 | 4)), "{args:?} with page {page} damaged: {code:?}");
        }
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_said() {
    let project = Project::workflow(WORKFLOW).file(".tidegate", "a file");
    for args in [&["run"][..], &["runs", "list"], &["run", "--resume", "1"]] {
        project
            .tidegate(args)
            .code(4)
            .stderr(".tidegate")
            .stderr("help: the store is a folder that you may write to");
    }
    assert_eq!(std::fs::read_to_string(project.path().join(".tidegate")).unwrap(), "a file");
    project.tidegate(["run", "--store", "elsewhere"]).code(0);
}

/// Who may do anything gives that up first.
#[test]
fn a_read_only_folder_is_said() {
    let project = Project::workflow(WORKFLOW);
    let binary = crate::harness::binary();
    let reached = "test -r \"$0\" && exec \"$0\" \"$@\"";
    let drop = if rustix::process::getuid().is_root() {
        "setpriv --reuid 65534 --regid 65534 --clear-groups"
    } else {
        ""
    };
    project.sh("chmod 555 .");
    let line = format!("{drop} sh -c '{reached}' {} run; test $? = 4", binary.display());
    let done = project.shell(&line);
    project.sh("chmod 755 .");
    done.code(0)
        .stderr("error: the store cannot go on")
        .stderr("help: the store is a folder that you may write to");
}

/// The store is on a file system of its own, which a step fills, the room that the log keeps for itself
/// included, once it is there: all that was recorded is there, and with some room the run goes on.
#[test]
fn a_disk_that_is_full_stops_the_run_and_it_goes_on_later() {
    let project = Project::workflow(
        "on: workflow_dispatch\njobs:\n  a:\n    steps:\n      - run: echo a >> \"$FOLDER/done\"\n  b:\n    needs: a\n    steps:\n      - run: |\n          [ -e \"$FOLDER/once\" ] && exit 0\n          touch \"$FOLDER/once\"\n          until [ $(stat -c %s \"$FOLDER/disk/ballast\") = 1048576 ]; do sleep 0.01; done; : > \"$FOLDER/disk/ballast\"\n          head -c 9000000 /dev/zero > \"$FOLDER/disk/fill\" || true\n",
    );
    let binary = crate::harness::binary();
    let tidegate = format!("\"{}\" --store disk", binary.display());
    let done = project.shell(&format!(
        "unshare -rm sh -c 'mkdir disk && mount -t tmpfs -o size=4m tmpfs disk || exit 77
         {tidegate} run --env FOLDER=\"$PWD\"; code=$?; rm disk/fill
         {tidegate} runs list
         {tidegate} run --resume 1; echo resumed: $?
         {tidegate} runs show 1
         exit $code'"
    ));
    if done.code == Some(77) {
        println!("NOT TESTED: this machine lets nobody mount a file system of their own");
        return;
    }
    let done = done.code(4).stderr("no space left for the store").stderr("help: make some room");
    done.stdout("interrupted").stdout("resumed: 0").stdout("passed");
    assert_eq!(std::fs::read_to_string(project.path().join("done")).unwrap(), "a\n", "it ran once");
}

/// A write that fails half way in the log's file itself, stood for by a limit on the size of files.
#[test]
fn a_write_that_fails_stops_the_run_and_it_goes_on_later() {
    let job =
        |n| format!("  j{n}:\n    steps:\n      - run: echo {n}\n      - run: echo {}\n", "x".repeat(900));
    let jobs = (0..40).map(job).collect::<Vec<_>>().concat();
    let project = Project::workflow(&format!("on: workflow_dispatch\njobs:\n{jobs}"));
    let binary = crate::harness::binary();
    let line = format!(
        "trap '' XFSZ; ulimit -f 300; \"{}\" run > out 2> err; code=$?; cat err >&2; exit $code",
        binary.display()
    );
    let done = project.shell(&line).code(4);
    done.stderr("the store cannot go on").stderr("help: is the disk full or failing?");
    project.tidegate(["runs", "list"]).code(0).stdout("interrupted");
    project.tidegate(["run", "--resume", "1"]).code(0);
    project.tidegate(["runs", "show", "1"]).code(0).stdout("passed");
}
