//! An engine that died, and the next one that goes on with what runs.

use super::*;
use crate::in_process::{Nobody, by_hand};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate::app::engine::{BackEnd, ClusterSettings, Engine, Machine, Site};
use tidegate_edge::store::{FaultyLog, Moment, RunLog as _, Store};
use tidegate_flow::run::{EventKind, Run, RunEvent};

const CHAIN: &str = "  a:
    outputs: { x: '${{ steps.s.outputs.x }}' }
    steps: [{ id: s, run: 'echo a in $HOSTNAME; echo x=1 >> $GITHUB_OUTPUT; echo kept > out' }]
    produces: { out: out }
  b:
    needs: a
    consumes: { in: '${{ needs.a.artifacts.out }}' }
    steps: [{ run: 'echo b $(cat in) ${{ needs.a.outputs.x }}' }, { run: 'sleep 1; echo b again' }]
  c: { needs: b, steps: [{ run: 'echo c' }] }
";

fn log(store: &Path) -> Vec<RunEvent> {
    let store = Store::open(store).unwrap();
    let run = store.find("1").unwrap().unwrap().run;
    store.events(&run, 0).unwrap()
}

fn store(project: &Project) -> std::path::PathBuf {
    project.path().join(".tidegate")
}

fn resume(project: &Project) -> Done {
    run(project, &["--resume", "1"])
}

/// How many pods the cluster made for each Job of the only run, once so many of them are told. Events come when there is
/// time for them.
pub(super) fn pods_made(project: &Project, so_many: u32) -> BTreeMap<String, u32> {
    let told = || Some(pods_told(project)).filter(|made| made.values().sum::<u32>() >= so_many);
    wait_or("its pods are told", told).unwrap_or_else(|| pods_told(project))
}

fn pods_told(project: &Project) -> BTreeMap<String, u32> {
    let run = Store::open(&store(project)).unwrap().find("1").unwrap().unwrap().run.to_ascii_lowercase();
    let events = kubectl(&[
        "get",
        "events",
        "--field-selector",
        "reason=SuccessfulCreate",
        "-o",
        "jsonpath={range .items[*]}{.involvedObject.name} {.count}{\"\\n\"}{end}",
    ]);
    let mut made = BTreeMap::new();
    for (name, count) in events.lines().filter_map(|l| l.split_once(' ')).filter(|(n, _)| n.contains(&run)) {
        *made.entry(name.to_owned()).or_default() += count.parse::<u32>().unwrap_or(1);
    }
    made
}

#[test]
fn a_running_job_goes_on_under_the_next_engine_and_its_log_is_whole() {
    let project = project(
        "  a: { steps: [{ run: 'echo first' }] }
  b:
    needs: a
    steps:
      - { run: 'for i in 1 2 3 4 5 6 7 8; do echo line $i; until test $i != 3 || test -e /tmp/go; do sleep 0.1; done; sleep 0.3; done' }
      - { run: 'echo second step' }
  c: { needs: b, steps: [{ run: 'echo last' }] }
",
    );
    let mut child = spawn(&project, &[]);
    wait_log(&project, "line 2");
    child.kill().unwrap();
    child.wait().unwrap();
    // That of the first job may just be going.
    let chosen = format!("{},tidegate.dev/job=b", selector(&project));
    let before = kubectl(&["get", "jobs", "-l", &chosen, "-o", "jsonpath={.items[*].metadata.uid}"]);
    let_go(&project, "b");
    resume(&project).code(0).stdout("taken up again").nowhere("attempt 2");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    let lines: Vec<&str> = logs.lines().filter(|l| l.contains("line ")).collect();
    assert_eq!(lines.len(), 8, "{logs}");
    assert!(logs.contains("second step") && logs.contains("last"), "{logs}");
    let run = Run::replay(&log(&store(&project)));
    assert!(run.instances().iter().all(|i| i.attempt == 1), "the same attempts");
    assert_eq!(before.split_whitespace().count(), 1, "{before}");
    let made = pods_made(&project, 3);
    assert!(made.len() == 3 && made.values().all(|count| *count == 1), "{made:?}");
    wait_gone(&project);
}

#[test]
fn a_receipt_that_came_while_no_engine_was_there_counts() {
    let step = "echo started; while ! test -e /tmp/go; do sleep 0.2; done; echo done";
    let project = project(&format!("  a: {{ steps: [{{ run: '{step}' }}] }}\n"));
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    let_go(&project, "a");
    // A pod does not wait for an engine for ever: its devices are others' after a minute.
    let jobs = || {
        kubectl(&["get", "jobs", "-l", &selector(&project), "-o", "jsonpath={.items[*].status.succeeded}"])
    };
    wait("the Job is complete", || (jobs().trim() == "1").then_some(()));
    // Even its Job may be gone.
    kubectl(&["delete", "jobs", "-l", &selector(&project)]);
    resume(&project).code(0).nowhere("attempt 2");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("started").stdout("done");
    let made = pods_made(&project, 1);
    assert!(made.values().eq([&1]), "{made:?}");
    wait_gone(&project);
}

#[test]
fn a_job_that_was_removed_while_no_engine_was_there_is_lost_and_tried_again() {
    let step = "echo started; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done";
    let project = project(&format!("  a: {{ steps: [{{ run: '{step}' }}] }}\n"));
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    kubectl(&["delete", "jobs", "-l", &selector(&project), "--grace-period=0", "--force", "--wait=false"]);
    kubectl(&["delete", "pods", "-l", &selector(&project), "--grace-period=0", "--force"]);
    resume(&project).code(0).stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_cancel_after_a_change_of_engines_runs_what_always_runs() {
    let project = project(
        "  a: { steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n",
    );
    let mut child = spawn(&project, &[]);
    wait_log(&project, "started");
    child.kill().unwrap();
    child.wait().unwrap();
    let child = spawn(&project, &["--resume", "1"]);
    wait("the next engine has it", || {
        let owned = |e: &RunEvent| matches!(e.kind, EventKind::EngineStarted { .. });
        log(&store(&project)).iter().any(owned).then_some(())
    });
    cancelled(&project, child);
    project.tidegate(["runs", "logs", "1"]).stdout("cleaned up");
    wait_gone(&project);
}

const FAULT: &str = "TIDEGATE_TEST_CLUSTER_FAULT";

/// An engine whose log fails at one write, as if the process had died just before or after it.
#[test]
#[ignore = "called by the test below, a process for each fault"]
fn an_engine_with_a_fault() {
    let said = std::env::var(FAULT).expect("called by a test");
    let [at, moment, root] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
    let (root, at) = (Path::new(root), at.parse().unwrap());
    let moment = if moment == "before" { Moment::Before } else { Moment::After };
    let request = by_hand(root, None);
    let mut site = Site::new(Machine::here(Some(8), Some(0)), false);
    site.back_end = BackEnd::Kubernetes(ClusterSettings {
        agent_image: format!("docker.io/tidegate/tidegate:{}", env!("CARGO_PKG_VERSION")),
        ..ClusterSettings::default()
    });
    site.log = Some(Box::new(move |store| Box::new(FaultyLog::new(store, at, moment))));
    let ended = Engine::start(&request, site, &mut Nobody).and_then(Engine::finish);
    println!("{}", if ended.is_ok() { "it ended" } else { "it died" });
}

/// What a run came to.
fn end_of(run: &Run) -> Vec<String> {
    assert!(run.ended());
    let told = |i: &tidegate_flow::run::InstanceState| {
        let receipt = i.receipt.as_ref().map(|r| (&r.outputs, r.artifacts.keys().collect::<Vec<_>>()));
        format!("{:?} attempt {} {receipt:?}", i.outcome, i.attempt)
    };
    run.instances().iter().map(told).collect()
}

/// Every write of the log fails twice, before and after it is done, while pods run. The next engine goes on
/// with them: no pod twice, none left, nothing done again.
#[test]
fn a_run_whose_engine_dies_at_any_write_makes_every_pod_once() {
    let _guard = beside();
    let deaths = each(die_and_resume);
    assert!(deaths > 10, "only {deaths} moments");
}

/// Returns whether there was such a moment: two for each write.
fn die_and_resume(moment: u32) -> bool {
    let project = made(CHAIN, "");
    let (fault, moment) = (moment / 2, if moment.is_multiple_of(2) { "before" } else { "after" });
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kubernetes::adoption::an_engine_with_a_fault", "--ignored", "--nocapture"])
        .env(FAULT, format!("{fault} {moment} {}", project.path().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if said.contains("it ended") {
        return false;
    }
    assert!(said.contains("it died"), "{said} {}", String::from_utf8_lossy(&done.stderr));
    if Store::open(&store(&project)).unwrap().find("1").unwrap().is_none() {
        assert_eq!((fault, moment), (0, "before"), "only a run that was not made is not there");
        return true;
    }
    let before = log(&store(&project));
    if Run::replay(&before).ended() {
        // What it left behind goes with the next run of the store.
        run(&project, &[]).code(0);
    } else {
        resume(&project).code(0);
    }
    let after = log(&store(&project));
    assert_eq!(after[..before.len()], before[..], "fault {fault} {moment}");
    let end = end_of(&Run::replay(&after));
    let good = |line: &&String| line.starts_with("Some(Success) attempt 1");
    assert!(end.len() == 3 && end.iter().filter(good).count() == 3, "fault {fault} {moment}: {end:?}");
    assert!(end[0].contains("\"x\": \"1\"") && end[0].contains("[\"out\"]"), "fault {fault}: {end:?}");
    let steps = after.iter().filter(|e| matches!(e.kind, EventKind::StepEnded { .. })).count();
    assert_eq!(steps, 4, "fault {fault} {moment}: every step is in the log once");
    let made = pods_made(&project, 3);
    assert!(made.len() == 3 && made.values().all(|count| *count == 1), "fault {fault} {moment}: {made:?}");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("b kept 1").stdout("b again").stdout("a in ");
    wait_gone(&project);
    true
}

/// Calls with 0, 1, 2 … from some threads until it says that there is no more; returns how many there were.
fn each(look: impl Fn(u32) -> bool + Sync) -> u32 {
    let (next, last) = (AtomicU32::new(0), AtomicU32::new(u32::MAX));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at > last.load(Ordering::SeqCst) {
                        return;
                    }
                    if !look(at) {
                        last.fetch_min(at, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    last.into_inner()
}

/// An engine is killed after every event of the log, and the next one goes on. Many events are written at
/// once; the test above fails at each write.
#[test]
fn an_engine_killed_with_9_at_any_moment_is_followed_by_one_that_goes_on() {
    let _guard = beside();
    let kills = each(|nth| kill_and_resume(nth as usize + 1));
    assert!(kills > 14, "only {kills} moments");
}

/// Returns whether there was such an event before the run's end.
fn kill_and_resume(count: usize) -> bool {
    let project = made(CHAIN, "");
    let mut child = spawn(&project, &[]);
    let events = || {
        let store = Store::open(&store(&project)).ok()?;
        let there = store.find("1").ok()??;
        Some(store.events(&there.run, 0).ok()?.len())
    };
    let end = Instant::now() + Duration::from_mins(5);
    while events().is_none_or(|events| events < count) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < end, "there are never {count} events");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = log(&store(&project));
    if Run::replay(&before).ended() {
        return false;
    }
    resume(&project).code(0).nowhere("attempt 2");
    let after = log(&store(&project));
    assert_eq!(after[..before.len()], before[..], "killed at {}", before.len());
    let steps = after.iter().filter(|e| matches!(e.kind, EventKind::StepEnded { .. })).count();
    assert_eq!(steps, 4, "killed at {}: every step is in the log once", before.len());
    let made = pods_made(&project, 3);
    assert!(made.len() == 3 && made.values().all(|c| *c == 1), "killed at {}: {made:?}", before.len());
    wait_gone(&project);
    true
}

#[test]
fn several_nodes_go_on_under_the_next_engine() {
    let project = project(
        "  a:
    nodes: 2
    steps: [{ run: 'echo started on $NODE_RANK; while ! test -e /tmp/go; do sleep 0.2; done; echo done on $NODE_RANK' }]
  b: { needs: a, steps: [{ run: 'echo last' }] }
",
    );
    let mut child = spawn(&project, &[]);
    let said = |node: &str, text: &str| {
        project.tidegate(["runs", "logs", "1", "a", "--node", node]).stdout.contains(text)
    };
    wait("both have started", || (said("0", "started on 0") && said("1", "started on 1")).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    let_go(&project, "a");
    resume(&project).code(0).stdout("taken up again").nowhere("attempt 2");
    assert!(said("0", "done on 0") && said("1", "done on 1"));
    let made = pods_made(&project, 3);
    assert_eq!(made.values().sum::<u32>(), 3, "{made:?}");
    wait_gone(&project);
}

#[test]
fn a_spot_job_with_a_saved_checkpoint_goes_on_under_the_next_engine() {
    let project = project(
        "  a:
    spot: { fallback: on-demand }
    checkpoint: { path: state, every: 1s }
    steps: [{ run: 'mkdir -p state; for n in 1 2 3 4 5 6 7 8; do echo $n > state/n; echo epoch $n; until test $n != 5 || test -e /tmp/go; do sleep 0.2; done; sleep 0.5; done' }]
",
    );
    let mut child = spawn(&project, &[]);
    wait_log(&project, "epoch 4");
    child.kill().unwrap();
    child.wait().unwrap();
    let_go(&project, "a");
    resume(&project).code(0).stdout("taken up again").nowhere("attempt 2");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert_eq!(logs.lines().filter(|l| l.contains("epoch ")).count(), 8, "{logs}");
    let made = pods_made(&project, 1);
    assert!(made.values().eq([&1]), "{made:?}");
    wait_gone(&project);
}
