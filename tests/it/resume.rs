//! `tidegate run --resume`: a run whose engine died, at any point of its log, comes to the same end.

use crate::harness::{Done, Project, binary, until};
use crate::in_process::{Nobody, by_hand};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate::app::engine::{Engine, Machine, RunRequest, Site};
use tidegate_edge::store::{FaultyLog, Moment, RunLog, Store, Sync};
use tidegate_flow::run::{EventKind, InstanceState, Phase, Run, RunEvent};

/// A bit of everything that has a state of its own. Every job writes down that it was done.
const WORKFLOW: &str = r#"
name: test
on: workflow_dispatch
jobs:
  prepare:
    outputs: { n: "${{ steps.s.outputs.n }}" }
    steps:
      - id: s
        run: echo n=2 >> "$GITHUB_OUTPUT"; echo data > clean.csv
      - uses: ./mark
        with: { what: prepare }
    produces: { clean: clean.csv }
    cache: true
  train:
    needs: prepare
    strategy: { matrix: { m: [1, 2, 3] }, max-parallel: 2, fail-fast: false }
    consumes: { clean.csv: "${{ needs.prepare.artifacts.clean }}" }
    retry: { attempts: 2, backoff: { initial: 10ms } }
    steps:
      - run: |
          if [ ${{ matrix.m }} = 2 ] && [ ! -e "$FOLDER/failed" ]; then touch "$FOLDER/failed"; exit 7; fi
          test "$(cat clean.csv)" = data
          echo '{"acc": 0.${{ matrix.m }}}' > m.json
      - uses: ./mark
        with: { what: "train-${{ matrix.m }}" }
    metrics: { files: m.json, goals: { acc: max } }
    produces: { m: m.json }
  call:
    needs: prepare
    uses: ./.ml/workflows/inner.yml
    with: { n: "${{ needs.prepare.outputs.n }}" }
  weak:
    continue-on-error: true
    concurrency: weak
    steps:
      - uses: ./mark
        with: { what: weak }
      - run: exit 1
  never:
    if: github.event_name == 'push'
    steps:
      - run: exit 1
  judge:
    needs: [train, call, weak]
    consumes: { best.json: "${{ best(needs.train, 'acc').artifacts.m }}" }
    steps:
      - run: |
          test '${{ needs.call.outputs.twice }}' = 22
          cp best.json m.json
      - gate: { metrics: { acc: { min: 0.3, max-worse: 10% } }, baseline: base.json }
      - uses: ./mark
        with: { what: judge }
    metrics: { files: m.json, goals: { acc: max } }
"#;

const INNER: &str = r#"
on:
  workflow_call:
    inputs: { n: { type: string, required: true } }
    outputs: { twice: { value: "${{ jobs.double.outputs.twice }}" } }
jobs:
  double:
    outputs: { twice: "${{ steps.s.outputs.twice }}" }
    steps:
      - id: s
        run: echo "twice=${{ inputs.n }}${{ inputs.n }}" >> "$GITHUB_OUTPUT"
      - uses: ./mark
        with: { what: double }
"#;

const MARK: &str = r#"
name: mark
inputs: { what: { required: true } }
runs:
  using: composite
  steps:
    - shell: bash
      run: echo "${{ inputs.what }}" >> "$FOLDER/done"
"#;

/// Every mark, and the job that leaves it.
const MARKS: [(&str, &str); 7] = [
    ("prepare", "prepare"),
    ("train-1", "train (1)"),
    ("train-2", "train (2)"),
    ("train-3", "train (3)"),
    ("double", "call / double"),
    ("weak", "weak"),
    ("judge", "judge"),
];

fn project() -> Project {
    let project = Project::workflow(WORKFLOW)
        .file(".ml/workflows/inner.yml", INNER)
        .file("mark/action.yml", MARK)
        .file("base.json", r#"{"acc": 0.3}"#)
        .file(".gitignore", "out/\n")
        .git();
    project.sh("mkdir out");
    project
}

fn start<'a>(store: &'a str, folder: &'a str) -> [String; 6] {
    let arg = |text: &str| text.to_owned();
    [
        arg("run"),
        arg(".ml/workflows/test.yml"),
        arg("--store"),
        arg(store),
        arg("--env"),
        format!("FOLDER={folder}"),
    ]
}

fn again(project: &Project, store: &Path) -> Done {
    project.tidegate(["run", "--resume", "1", "--store", store.to_str().unwrap()])
}

/// How often each job has written down that it was done.
fn marks(folder: &Path) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("done")).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

fn name(run: &Run, instance: &InstanceState) -> String {
    let job = &run.job(instance.job).unwrap().declared.display;
    instance.declared.matrix.get("m").map_or_else(|| job.clone(), |m| format!("{job} ({m})"))
}

/// Names of the instances whose last attempt has ended by the log: they must not run again, unless
/// it is the one that fails the first time.
fn over(run: &Run) -> Vec<String> {
    let is_over = |i: &&InstanceState| match (i.phase, &i.receipt) {
        (Phase::Ended, _) => true,
        (Phase::AttemptOver, Some(receipt)) => receipt.exit != Some(7),
        _ => false,
    };
    run.instances().iter().filter(is_over).map(|i| name(run, i)).collect()
}

/// What a run came to: conclusions, outputs, metrics and artifacts of all instances by name.
fn end_of(run: &Run) -> BTreeMap<String, String> {
    assert!(run.ended());
    let told = run.instances().iter().map(|i| {
        let receipt = i.receipt.as_ref().map(|r| (&r.outputs, &r.metrics, &r.artifacts));
        (name(run, i), format!("{:?} {:?} {:?} {receipt:?}", i.outcome, i.conclusion, i.outputs))
    });
    told.chain(run.jobs().iter().map(|j| (format!("job {}", j.declared.display), format!("{:?}", j.result))))
        .collect()
}

fn events(store: &Path) -> Vec<RunEvent> {
    let store = Store::open(store).unwrap();
    let run = store.find("1").unwrap().unwrap().run;
    store.events(&run, 0).unwrap()
}

/// The log of a whole run is cut after every one of its events; each is resumed in a store of its own.
#[test]
fn a_run_cut_after_any_event_comes_to_the_same_end() {
    let project = project();
    let whole = project.path().join("out/whole");
    let folder = project.path().join("out/marks-whole");
    std::fs::create_dir_all(&folder).unwrap();
    project.tidegate(start(whole.to_str().unwrap(), folder.to_str().unwrap())).code(0);
    let log = events(&whole);
    let wanted = end_of(&Run::replay(&log));
    let all: BTreeMap<String, u32> = MARKS.iter().map(|(mark, _)| ((*mark).to_owned(), 1)).collect();
    assert_eq!(marks(&folder), all);
    assert!(log.len() > 60, "{}", log.len());
    let points: Vec<usize> = (1..log.len()).collect();
    std::thread::scope(|threads| {
        for half in 0..2 {
            let (project, log, wanted, whole, folder) = (&project, &log, &wanted, &whole, &folder);
            let mine: Vec<usize> = points.iter().copied().filter(|at| at % 2 == half).collect();
            threads.spawn(move || {
                for at in mine {
                    let store = project.path().join(format!("out/cut-{at}"));
                    let marks_here = project.path().join(format!("out/marks-{at}"));
                    std::fs::create_dir_all(&marks_here).unwrap();
                    std::fs::write(marks_here.join("failed"), "").unwrap();
                    let cut = cut(log, at, folder, &marks_here);
                    let before = Run::replay(&cut);
                    keep(&store, &cut, whole);
                    again(project, &store).code(0);
                    let after = events(&store);
                    assert_eq!(after[..at], cut[..at], "cut after {at}: what was there stays");
                    let ends = after.iter().filter(|e| matches!(e.kind, EventKind::RunEnded(_))).count();
                    assert_eq!(ends, 1, "cut after {at}");
                    assert_eq!(&end_of(&Run::replay(&after)), wanted, "cut after {at}");
                    let (counts, over) = (marks(&marks_here), over(&before));
                    for (mark, name) in MARKS {
                        let again = u32::from(!over.iter().any(|o| o == name));
                        assert_eq!(
                            counts.get(mark).copied().unwrap_or(0),
                            again,
                            "{name}, cut after {at}: {over:?}"
                        );
                    }
                    std::fs::remove_dir_all(&store).unwrap();
                }
            });
        }
    });
}

/// The first events, with another folder for the marks and as a run of its own: whoever resumes a
/// run ends what is left of its processes.
fn cut(log: &[RunEvent], at: usize, was: &Path, now: &Path) -> Vec<RunEvent> {
    let text = serde_json::to_string(&log[..at]).unwrap();
    let text = text.replace(&format!("{}\"", was.display()), &format!("{}\"", now.display()));
    let EventKind::RunCreated(created) = &log[0].kind else { panic!("{:?}", log[0]) };
    let other = format!("{}{at:04}", &created.run[..created.run.len() - 4]);
    serde_json::from_str(&text.replace(&created.run, &other)).unwrap()
}

/// A store that holds these events and the whole run's content.
fn keep(to: &Path, events: &[RunEvent], whole: &Path) {
    let mut store = Store::open(to).unwrap();
    let owned = store.create(&events[0]).unwrap();
    store.append(&owned, &events[1..], Sync::Process).unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-r", "-l", "-f"])
        .arg(whole.join("objects"))
        .arg(to)
        .status()
        .unwrap();
    assert!(copied.success());
}

/// The clock was a day ahead while the first engine ran, and is right again.
#[test]
fn a_log_from_tomorrow_is_resumed_in_its_own_time() {
    let project = project();
    let whole = project.path().join("out/whole");
    let folder = project.path().join("out/marks");
    std::fs::create_dir_all(&folder).unwrap();
    project.tidegate(start(whole.to_str().unwrap(), folder.to_str().unwrap())).code(0);
    let mut log = events(&whole);
    // As far as the retry that waits for its time.
    let at = log.iter().position(|e| matches!(e.kind, EventKind::RetryScheduled { .. })).unwrap() + 1;
    log.truncate(at);
    for event in &mut log {
        event.at.0 += 86_400_000;
        if let EventKind::RetryScheduled { due, .. } = &mut event.kind {
            due.0 += 86_400_000;
        }
    }
    let store = project.path().join("out/tomorrow");
    keep(&store, &log, &whole);
    again(&project, &store).code(0);
    let log = events(&store);
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at), "time never goes back");
    let EventKind::RunEnded(summary) = &log.last().unwrap().kind else { panic!() };
    assert!(summary.duration_ms < 600_000, "{}", summary.duration_ms);
}

/// What the test below says to the process it starts: which write fails, and when.
const FAULT: &str = "TIDEGATE_TEST_FAULT";

/// An engine whose log fails at one write, as if the process had died just before or after it.
#[test]
#[ignore = "called by the test below, a process for each fault"]
fn an_engine_with_a_fault() {
    let said = std::env::var(FAULT).expect("called by a test");
    let [at, moment, root, store, folder] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
    let (root, at) = (Path::new(root), at.parse().unwrap());
    let moment = if moment == "before" { Moment::Before } else { Moment::After };
    let request = RunRequest {
        env: [("FOLDER".to_owned(), folder.to_owned())].into(),
        ..by_hand(root, Some(Path::new(store)))
    };
    let mut site = Site::new(Machine::here(Some(2), Some(0)), false);
    site.exe = Some(binary());
    site.log = Some(Box::new(move |store| Box::new(FaultyLog::new(store, at, moment))));
    let ended = Engine::start(&request, site, &mut Nobody).and_then(Engine::finish);
    println!("{}", if ended.is_ok() { "it ended" } else { "it died" });
}

/// Every write of the log fails once: those with even numbers before they are done, the others
/// after. Whoever resumes the run brings it to the same end.
#[test]
fn a_run_whose_log_fails_at_any_write_comes_to_the_same_end() {
    let project = project();
    let (mut at, mut wanted) = (0, None);
    // The first one is whole: no run has so many writes.
    for fault in std::iter::once(100_000).chain(0..) {
        let (store, folder) =
            (project.path().join(format!("out/{fault}")), project.path().join(format!("out/m{fault}")));
        std::fs::create_dir_all(&folder).unwrap();
        let moment = if fault % 2 == 0 { "before" } else { "after" };
        let (root, store_text) = (project.path().display(), store.display());
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "resume::an_engine_with_a_fault", "--ignored", "--nocapture"])
            .env(FAULT, format!("{fault} {moment} {root} {store_text} {}", folder.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        if said.contains("it ended") {
            if fault != 100_000 {
                at = fault;
                break;
            }
            wanted = Some(end_of(&Run::replay(&events(&store))));
            continue;
        }
        assert!(said.contains("it died"), "{said}");
        let kept = Store::open(&store).unwrap();
        if kept.find("1").unwrap().is_none() {
            assert_eq!((fault, moment), (0, "before"), "only a run that was not made is not there");
            continue;
        }
        let before = events(&store);
        drop(kept);
        let over = over(&Run::replay(&before));
        let then = marks(&folder);
        if !Run::replay(&before).ended() {
            again(&project, &store).code(0);
        }
        let after = events(&store);
        assert_eq!(after[..before.len()], before[..], "fault {fault} {moment}");
        assert_eq!(Some(end_of(&Run::replay(&after))), wanted, "fault {fault} {moment}");
        let now = marks(&folder);
        for (mark, name) in MARKS {
            let (then, now) = (then.get(mark).copied().unwrap_or(0), now.get(mark).copied().unwrap_or(0));
            assert!(now >= 1, "{name} was not done, fault {fault} {moment}");
            assert!(
                now == then || !over.iter().any(|o| o == name),
                "{name} was done again, fault {fault} {moment}"
            );
        }
    }
    assert!(at > 12, "only {at} writes");
}

/// Each job forks daemons that leave their process group, their session and their parent, one of
/// which throws its environment away, and writes down that it was done as the last thing it does.
const DAEMONS: &str = r#"
name: daemons
on: workflow_dispatch
jobs:
  a:
    steps:
      - run: &daemons |
          setsid tail -f "$FOLDER/wait" > /dev/null 2>&1 &
          (setsid sh -c 'tail -f "$FOLDER/wait" & tail -f "$FOLDER/wait"' > /dev/null 2>&1 &)
          env -i PATH="$PATH" setsid --fork tail -f "$FOLDER/wait" > /dev/null 2>&1
          echo ready
      - run: &done echo "$GITHUB_JOB" >> "$FOLDER/done"
  b: { steps: [{ run: *daemons }, { run: *done }] }
  c: { needs: a, steps: [{ run: *daemons }, { run: *done }] }
  d: { needs: [b, c], steps: [{ run: *daemons }, { run: *done }] }
"#;

fn daemons() -> (Project, Store) {
    daemons_of(DAEMONS)
}

fn daemons_of(text: &str) -> (Project, Store) {
    let project = Project::workflow(text).file("wait", "");
    let store = Store::open(&project.path().join(".tidegate")).unwrap();
    (project, store)
}

fn started(project: &Project) -> std::process::Child {
    project.spawn(["run", "--env", &format!("FOLDER={}", project.path().display())])
}

/// The log of the only run, once it has `count` events.
fn log_of(store: &Store, count: usize) -> Option<Vec<RunEvent>> {
    let run = store.find("1").unwrap()?.run;
    store.events(&run, 0).ok().filter(|log| log.len() >= count)
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// The supervisor of an engine: its child, and not what that has forked and is about to become a step.
fn supervisor_of(engine: &std::process::Child) -> Option<u32> {
    let children = std::fs::read_dir(format!("/proc/{}/task", engine.id())).ok()?;
    let children =
        children.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    children.into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|word| word == b"--supervise")
    })
}

/// The same jobs; the last one waits for a file, so that the run is not over before somebody is killed.
fn waits_at_the_end() -> String {
    let wait = "d: { needs: [b, c], steps: [{ run: 'until test -e \"$FOLDER/go\"; do sleep 0.05; done' }, ";
    DAEMONS.replace("d: { needs: [b, c], steps: [", wait)
}

/// Every job was done; what the log at `then` had as done, once.
fn assert_done(project: &Project, store: &Store, then: &[RunEvent]) {
    let counts = marks(project.path());
    let over = over(&Run::replay(then));
    for job in ["a", "b", "c", "d"] {
        let count = counts.get(job).copied().unwrap_or(0);
        assert!(count >= 1, "{job} was not done");
        assert!(count == 1 || !over.iter().any(|o| o == job), "{job} was done {count} times");
    }
    let log = log_of(store, 1).unwrap();
    assert_eq!(log[..then.len()], *then, "what was there stays");
    assert!(matches!(log.last().unwrap().kind, EventKind::RunEnded(_)));
    assert_eq!(log.iter().filter(|e| matches!(e.kind, EventKind::RunEnded(_))).count(), 1);
    until("no process is left", || project.processes().is_empty().then_some(()));
}

/// Kill points are counts of events in the log: before the first job, in the midst, near the end.
#[test]
fn an_engine_killed_with_9_leaves_nobody_behind_and_its_run_goes_on() {
    for count in [1, 6, 11, 15, 22, 31] {
        let (project, store) = daemons();
        let mut child = started(&project);
        until("the log has grown", || log_of(&store, count));
        child.kill().unwrap();
        child.wait().unwrap();
        until("no process of the dead engine is left", || project.processes().is_empty().then_some(()));
        let then = log_of(&store, 1).unwrap();
        if Run::replay(&then).ended() {
            continue;
        }
        project.tidegate(["runs", "show", "1"]).code(0).stdout("interrupted");
        project.tidegate(["run", "--resume", "1"]).code(0);
        assert_done(&project, &store, &then);
    }
}

#[test]
fn a_supervisor_killed_with_9_costs_an_attempt_and_no_more() {
    for count in [8, 16, 24] {
        let (project, store) = daemons_of(&waits_at_the_end());
        let child = started(&project);
        until("the log has grown", || log_of(&store, count));
        let supervisor = until("the supervisor stands", || supervisor_of(&child));
        let then = log_of(&store, 1).unwrap();
        kill(supervisor);
        project.write("go", "");
        project.done(child).code(0);
        assert_done(&project, &store, &then);
    }
}

/// Both at once: nobody is left to end the steps but who resumes the run. It finds them by the mark
/// in their environment.
#[test]
fn an_engine_and_its_supervisor_killed_together_leave_nobody_after_a_resume() {
    let (project, store) = daemons_of(&waits_at_the_end().replace("env -i", "env"));
    let mut child = started(&project);
    until("the log has grown", || log_of(&store, 10));
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::STOP).unwrap();
    kill(until("the supervisor stands", || supervisor_of(&child)));
    child.kill().unwrap();
    child.wait().unwrap();
    let then = log_of(&store, 1).unwrap();
    project.write("go", "");
    project.tidegate(["run", "--resume", "1"]).code(0);
    assert_done(&project, &store, &then);
}
