//! `tidegate runs gc`: what only old runs needed goes; whatever a kept run needs stays, also while
//! others run, and when it is killed half way.

use crate::harness::{Project, until};
use rustix::process::{Signal, kill_process};
use serde_json::Value as Json;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;
use tidegate_edge::store::{Collect, RunLog as _, Store, Strike};

/// Makes data from `seed.txt`, cached; uses it; both keep something.
const WORKFLOW: &str = r#"
on: workflow_dispatch
jobs:
  make:
    steps:
      - run: sed s/^/data-/ seed.txt > made.csv; cat made.csv
      - uses: actions/upload-artifact@v4
        with: { name: up, path: seed.txt }
    cache: { inputs: [seed.txt] }
    produces: { made: made.csv }
  use:
    needs: make
    consumes: { in.csv: "${{ needs.make.artifacts.made }}" }
    steps:
      - uses: actions/download-artifact@v4
        with: { name: up, path: down }
      - run: diff in.csv <(sed s/^/data-/ down/seed.txt); test ! -e fail.txt; { echo used; cat in.csv; } > used.csv
        shell: bash
    produces: { used: used.csv }
"#;

fn project() -> Project {
    Project::workflow(WORKFLOW).file("seed.txt", "one\n")
}

impl Project {
    /// Makes all that is kept two days old.
    fn age_files(&self) {
        self.sh("cd .tidegate && find objects runs checkpoints action-cache -exec touch -h -d '2 days ago' {} + 2>/dev/null || true");
    }

    /// Makes a run as if it had been started 40 days ago.
    fn age_run(&self, number: i64) {
        let changed = self
            .database()
            .execute("UPDATE runs SET created = created - 40 * 86400000 WHERE number = ?1", [number])
            .unwrap();
        assert_eq!(changed, 1);
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join(".tidegate/runs.db")).unwrap()
    }

    fn cached(&self) -> i64 {
        self.database().query_row("SELECT count(*) FROM cache", [], |row| row.get(0)).unwrap()
    }

    fn count(&self, what: &str) -> usize {
        self.shell(&format!("find .tidegate/{what} -type f ! -name lock")).stdout.lines().count()
    }

    fn gc(&self, more: &[&str]) -> Json {
        let args = ["runs", "gc", "--format", "json"];
        let done = self.tidegate(args.iter().chain(more)).code(0);
        serde_json::from_str(&done.stdout).unwrap()
    }
}

#[test]
fn what_is_old_goes_and_the_log_stays() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.write("seed.txt", "two\n");
    project.tidegate(["run"]).code(0);
    let all = project.count("objects");
    assert!(project.gc(&["--keep", "0s"])["freed"]["objects"]["count"] == 0, "all is young");
    project.age_files();
    project.tidegate(["runs", "gc"]).code(0).stdout("nothing to free\n");
    let done = project.tidegate(["runs", "gc", "--keep", "0s"]).code(0);
    done.stdout("runs     0 keep what they need, 2 ended more than 0s ago")
        .stdout(&format!("freed: {all} objects, 2 runs' logs, 2 cache entries\n"));
    assert_eq!((project.count("objects"), project.count("runs"), project.cached()), (0, 0, 0));
    project.tidegate(["runs", "list"]).code(0).stdout("passed");
    project.tidegate(["runs", "show", "1"]).code(0).stdout("made (9 B, ").stdout(", collected)");
    assert_eq!(collected(&project, 1), [vec!["made", "up"], vec!["used"]]);
    project.tidegate(["runs", "logs", "1"]).code(2).stderr("the logs of run 1 were collected");
    project.tidegate(["runs", "diff", "1", "2"]).code(0);
    project.tidegate(["why", "make"]).code(0);
    project.tidegate(["plan"]).code(0);
    // All is made anew: nothing believes that it is still there.
    project.tidegate(["runs", "rerun", "1", "--failed"]).code(0).nowhere("from run");
    project.tidegate(["run"]).code(0).stdout("from cache");
    project.tidegate(["runs", "show", "3"]).code(0).nowhere("collected");
    assert_eq!(collected(&project, 3), [vec![""; 0], vec![]]);
}

/// Names of what is gone, for each job of a run.
fn collected(project: &Project, run: u64) -> Vec<Vec<String>> {
    let shown = project.tidegate(["runs", "show", &run.to_string(), "--format", "json"]).code(0).stdout;
    let shown: Json = serde_json::from_str(&shown).unwrap();
    let of = |job: &Json| serde_json::from_value(job["instances"][0]["collected"].clone()).unwrap();
    shown["jobs"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_a_young_run_needs_or_took_over_stays() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.write("fail.txt", "");
    // From the cache: what run 1 made.
    project.tidegate(["run"]).code(1).stdout("from cache");
    project.write("seed.txt", "two\n");
    project.tidegate(["run"]).code(1);
    // Adopted: what run 3 made.
    project.tidegate(["runs", "rerun", "3", "--failed"]).code(1);
    project.write("seed.txt", "three\n");
    project.tidegate(["run"]).code(1);
    let before = project.count("objects");
    project.age_files();
    for old in [1, 3, 5] {
        project.age_run(old);
    }
    let done = project.gc(&[]);
    assert_eq!((&done["runs"]["kept"], &done["runs"]["old"]), (&4.into(), &1.into()), "{done}");
    assert_eq!((&done["freed"]["logs"]["count"], &done["freed"]["cache_entries"]), (&1.into(), &1.into()));
    // Of run 5: tree, seed, made and its list, upload's list.
    assert_eq!(project.count("objects"), before - 5, "{done}");
    project.tidegate(["runs", "logs", "1", "make"]).code(0).stdout("data-one");
    project.sh("rm fail.txt");
    project.tidegate(["runs", "rerun", "2", "--failed"]).code(0);
    for seed in ["two\n", "one\n"] {
        project.write("seed.txt", seed);
        project.tidegate(["run"]).code(0).stdout("from cache");
    }
    project.write("seed.txt", "three\n");
    project.tidegate(["run"]).code(0).nowhere("from cache");
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.age_files();
    project.age_run(1);
    project.write(".tidegate/objects/new/1-0", "half");
    project.sh("touch -d '2 days ago' .tidegate/objects/new/1-0");
    let listing = "cd .tidegate && find objects runs tree.json -type f -printf '%p %s %T@\\n' ! -name lock | grep -v lock | sort";
    let before = (project.shell(listing).stdout, project.cached());
    let told = project.gc(&["--dry-run"]);
    let hint = "tidegate runs gc --keep 30d frees it";
    project.tidegate(["runs", "gc", "--dry-run"]).code(0).stdout("would be freed: ").stdout(hint);
    assert_eq!((project.shell(listing).stdout, project.cached()), before);
    let mut done = project.gc(&[]);
    done["dry_run"] = true.into();
    assert_eq!(told, done);
    assert_eq!(project.count("objects"), 0);
}

/// Waits in its last job; what it found in the store instead of writing it was old.
#[test]
fn a_run_in_progress_keeps_what_it_needs() {
    let waits = "  wait:\n    needs: use\n    consumes: { u.csv: \"${{ needs.use.artifacts.used }}\" }\n    steps:\n      - run: echo only mine > mine.txt\n      - uses: actions/upload-artifact@v4\n        with: { name: mine, path: mine.txt }\n      - run: touch \"$FOLDER/here\"; until [ -e \"$FOLDER/go\" ]; do sleep 0.01; done\n      - uses: actions/download-artifact@v4\n        with: { name: mine, path: again }\n      - run: test -e again/mine.txt && grep used u.csv\n";
    let project = Project::workflow(&format!("{WORKFLOW}{waits}")).file("seed.txt", "one\n");
    let folder = format!("FOLDER={}", project.path().display());
    project.write("go", "");
    project.tidegate(["run", "--env", &folder]).code(0);
    project.sh("rm go here");
    project.age_files();
    project.age_run(1);
    // The cache's entry goes, so that it all runs again.
    project.database().execute("DELETE FROM cache", []).unwrap();
    let child = project.spawn(["run", "--env", &folder]);
    until("the last job is there", || project.path().join("here").exists().then_some(()));
    let done = project.gc(&["--keep", "0s"]);
    assert_eq!((&done["runs"]["kept"], &done["runs"]["old"]), (&1.into(), &1.into()), "{done}");
    assert_eq!(done["freed"]["logs"]["count"], 1, "{done}");
    project.write("go", "");
    project.done(child).code(0);
    project.tidegate(["runs", "show", "2"]).code(0).nowhere("collected");
    project.tidegate(["run", "--env", &folder]).code(0).stdout("from cache");
}

#[test]
fn an_interrupted_run_goes_on_after_it() {
    let waits = "  wait:\n    needs: use\n    consumes: { u.csv: \"${{ needs.use.artifacts.used }}\" }\n    steps:\n      - run: touch \"$FOLDER/here\"; until [ -e \"$FOLDER/go\" ]; do sleep 0.01; done; grep used u.csv\n";
    let project = Project::workflow(&format!("{WORKFLOW}{waits}")).file("seed.txt", "one\n");
    let folder = format!("FOLDER={}", project.path().display());
    let mut child = project.spawn(["run", "--env", &folder]);
    until("the last job is there", || project.path().join("here").exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    project.age_files();
    project.age_run(1);
    // Other content lies there now: only the log knows what the run needs.
    project.write("seed.txt", "other\n");
    let done = project.tidegate(["runs", "gc", "--keep", "0s"]).code(0);
    done.stdout("nothing to free").stdout("1 interrupted run may still go on");
    project.write("go", "");
    project.tidegate(["run", "--resume", "1"]).code(0);
    project.tidegate(["runs", "logs", "1", "wait"]).code(0).stdout("used");
}

/// What the test below says to the process it starts: which change it dies before, and the store.
const STRIKE: &str = "TIDEGATE_TEST_STRIKE";

#[test]
#[ignore = "killed by the test below"]
fn a_collection_that_dies() {
    let said = std::env::var(STRIKE).expect("called by a test");
    let (at, store) = said.split_once(' ').unwrap();
    let at: u64 = at.parse().unwrap();
    let strike = Strike::new(move |before| {
        if before == at {
            let _ = kill_process(rustix::process::getpid(), Signal::KILL);
        }
    });
    let wanted = Collect { keep: Duration::from_hours(720), strike, ..Collect::default() };
    Store::open(Path::new(store)).unwrap().collect(&wanted).unwrap();
    println!("it lived");
}

/// It dies before each change it makes, the first to the last. No hit points at what is half gone, and
/// what a young run needs is all there.
#[test]
fn killed_before_any_change_it_leaves_a_store_that_is_whole() {
    let project = project();
    project.tidegate(["run"]).code(0);
    project.write("seed.txt", "young\n");
    project.tidegate(["run"]).code(0);
    project.age_files();
    project.age_run(1);
    project.sh("cp -a .tidegate kept");
    let before = project.count("objects");
    let mut left = Vec::new();
    for at in 0.. {
        project.sh("rm -rf .tidegate && cp -a kept .tidegate");
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "gc::a_collection_that_dies", "--ignored", "--nocapture"])
            .env(STRIKE, format!("{at} {}", project.path().join(".tidegate").display()))
            .output()
            .unwrap();
        let lived = String::from_utf8_lossy(&done.stdout).contains("it lived");
        assert_eq!(done.status.signal(), (!lived).then_some(9), "{done:?}");
        left.push(project.count("objects"));
        if lived {
            break;
        }
        project.write("seed.txt", "young\n");
        project.tidegate(["run"]).code(0).stdout("from cache");
        project.write("seed.txt", "one\n");
        project.tidegate(["runs", "rerun", "1", "--from", "use"]).code(0);
        project.tidegate(["run"]).code(0);
        project.tidegate(["run"]).code(0).stdout("from cache");
        for run in ["4", "5", "6"] {
            project.tidegate(["runs", "show", run]).code(0).nowhere("collected");
        }
        project.gc(&[]);
    }
    // The cache and the stat cache of the tree, each object alone, the log moved away, then removed.
    let gone = before - left.last().unwrap();
    assert_eq!(left.len(), 2 + gone + 2 + 1, "{left:?}");
    assert!(gone > 5 && left.windows(2).all(|two| two[1] <= two[0]), "{left:?}");
}

#[test]
fn two_at_once_share_the_work() {
    let many = "on: workflow_dispatch\njobs:\n  old:\n    steps:\n      - run: mkdir many; for i in $(seq 1500); do echo \"$i $(cat seed.txt)\" > many/$i; done\n    produces: { many: many/ }\n";
    let project = Project::workflow(many).file("seed.txt", "old\n");
    project.tidegate(["run"]).code(0);
    project.write("seed.txt", "young\n");
    project.tidegate(["run"]).code(0);
    project.age_files();
    project.age_run(1);
    let before = project.count("objects");
    let args = ["runs", "gc", "--format", "json"];
    let children = [project.spawn(args), project.spawn(args)];
    let freed = children.map(|child| {
        let told: Json = serde_json::from_str(&project.done(child).code(0).stdout).unwrap();
        told["freed"]["objects"]["count"].as_u64().unwrap()
    });
    let gone = (before - project.count("objects")) as u64;
    assert!(gone > 1500 && freed.iter().sum::<u64>() == gone, "{gone} went, {freed:?} were told");
    project.tidegate(["runs", "show", "2"]).code(0).nowhere("collected");
}

/// Content that an old run pinned goes; its listing stays, so that the next run can say what changed.
/// What a kept run pinned stays whatever happens to the folder.
#[test]
fn pinned_data_goes_with_its_run() {
    let text = "on: workflow_dispatch\ndata: { raw: { uri: lake } }\njobs:\n  a:\n    consumes: { in/: \"${{ data.raw }}\" }\n    steps: [{ run: \"cat in/*; echo '${{ toJSON(data.raw.changed) }} ${{ toJSON(data.raw.added) }}'\" }]\n";
    let project = Project::workflow(text).file(".gitignore", "/lake/\n").file("lake/a", "first-content\n");
    let project = project.file("lake/b", "same\n").git();
    let holds =
        |content: &str| !project.shell(&format!("grep -rl {content} .tidegate/objects")).stdout.is_empty();
    project.tidegate(["run"]).code(0);
    project.write("lake/a", "second-content\n");
    project.age_files();
    project.age_run(1);
    // The only run of its workflow is old: its data goes, what the data was does not.
    project.gc(&[]);
    assert!(!holds("first-content") && !holds("same"));
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "logs", "2"]).code(0).stdout("second-content").stdout("\"a\"");
    project.tidegate(["runs", "logs", "2"]).code(0).nowhere("\"b\"");
    // Kept by a young run, and by its rerun, though the folder holds something else.
    project.write("lake/a", "third-content\n");
    project.age_files();
    project.gc(&[]);
    assert!(holds("second-content") && holds("same"));
    project.tidegate(["runs", "rerun", "2", "--from", "a"]).code(0);
    project.age_run(2);
    project.age_files();
    project.gc(&[]);
    project.tidegate(["runs", "logs", "3"]).code(0).stdout("second-content");
    assert!(holds("second-content"), "a kept run reran it");
    project.age_run(3);
    project.age_files();
    project.gc(&[]);
    assert!(!holds("second-content"));
    // What it pinned is gone: its rerun reads the folder again.
    project.tidegate(["runs", "rerun", "3", "--from", "a"]).code(0);
    project.tidegate(["runs", "logs", "4"]).code(0).stdout("third-content");
}

#[test]
fn checkpoints_and_saved_caches_go_when_they_are_old() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    checkpoint: keep\n    steps:\n      - run: echo saved > keep/state\n      - uses: actions/cache@v4\n        with: { key: k, path: stuff }\n      - run: mkdir -p stuff; echo x > stuff/x\n";
    let project = Project::workflow(text);
    project.tidegate(["run"]).code(0);
    project.age_files();
    assert_eq!(project.gc(&[])["freed"]["bytes"], 0);
    assert_eq!((project.count("checkpoints"), project.count("action-cache")), (1, 1));
    // A rerun goes on from the checkpoint of a run that is old itself.
    project.tidegate(["runs", "rerun", "1", "--from", "a"]).code(0);
    project.age_run(1);
    project.age_files();
    assert_eq!(project.gc(&[])["freed"]["checkpoints"]["count"], 0);
    project.age_run(2);
    // Restored: it is used, and lives on.
    project.tidegate(["run"]).code(0);
    project.sh("cd .tidegate && find objects runs checkpoints -exec touch -h -d '2 days ago' {} +");
    let done = project.gc(&["--keep", "12h"]);
    assert_eq!(done["freed"]["checkpoints"]["count"], 1, "{done}");
    assert_eq!((project.count("checkpoints"), project.count("action-cache")), (1, 1));
    project.tidegate(["run"]).code(0);
    project.tidegate(["runs", "logs", "4"]).code(0).stdout("Cache restored from key: k");
    project.age_files();
    let done = project.gc(&["--keep", "0s"]);
    assert_eq!(done["freed"]["cache_entries"], 1, "{done}");
    let left = ["checkpoints", "action-cache", "objects", "runs"].map(|what| project.count(what));
    assert_eq!(left, [0; 4]);
}

/// Something of a kept artifact vanished by other means: it is no hit, and is not taken over.
#[test]
fn what_is_not_whole_any_more_is_made_again() {
    let project = project();
    project.tidegate(["run"]).code(0);
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    let run = store.find("1").unwrap().unwrap();
    let made = &run.summary.unwrap().artifacts["make"]["made"];
    let objects = store.file_objects();
    let content = objects.manifest(&made.digest).unwrap().entries[0].kind.objects()[0].clone();
    project.sh(&format!("rm .tidegate/objects/{}/{}", &content[..2], &content[2..]));
    let told = "what run 1 kept of it is not in the store any more";
    project.tidegate(["run"]).code(0).nowhere("from cache");
    project.tidegate(["why", "make"]).code(0).stdout(told);
    project.sh(&format!("rm .tidegate/objects/{}/{}", &content[..2], &content[2..]));
    project.tidegate(["runs", "rerun", "1", "--from", "use"]).code(0);
    project.tidegate(["runs", "logs", "3", "make"]).code(0).stdout("data-one");
}

#[test]
fn a_store_with_nothing_in_it() {
    let project = project();
    project.tidegate(["runs", "gc"]).code(2).stderr("nothing ran here yet");
    assert!(!project.path().join(".tidegate").exists());
    drop(Store::open(&project.path().join(".tidegate")).unwrap());
    project.tidegate(["runs", "gc"]).code(0).stdout("0 keep what they need").stdout("nothing to free");
    project.tidegate(["runs", "gc", "--keep", "soon"]).code(2).stderr("12h, 30d");
    project.tidegate(["runs", "gc", "--keep", "1e300"]).code(2).stderr("12h, 30d");
}
