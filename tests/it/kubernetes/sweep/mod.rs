//! Kill -9 of the engine, of the hub and of both at every moment of a run that has everything: the next one goes on, and
//! nobody could tell from what the run did that anything happened.
//!
//! A run is killed at many moments, one after the other, and each moment is some run's: run r of n at every n-th. So every
//! boundary between two events is met, in a run of 1,000 ms as in one of an hour, and the same ones each time.
//! `TIDEGATE_SWEEP=9` makes nine times as many runs, each killed a ninth as often, for those who have the time.

mod graph;
mod killed;
mod seen;

use super::*;
use crate::trace::{Trace, difference, names, trace};
use graph::{CANCELLED, CANCELLED_LOGS, GRAPH, LOGS};
use killed::{PLAN, Plan, Who, moments};
use seen::Watched;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The test that is one life of an engine.
const ENGINE: &str = "kubernetes::sweep::killed::an_engine_with_a_fault";

/// What a run has more of that had more than one engine: each says that it is there, and tells agents again to stop.
const OF_KILLS: [&str; 2] = ["engine-started", "attempt-cancelled"];

/// A workflow of another run of the store.
const SMALL: &str = ".ml/workflows/small.yml";

/// Runs of a sweep that go on at the same time.
const AT_ONCE: usize = 3;

/// What is swept over, and where.
struct Sweep {
    jobs: &'static str,
    logs: &'static [&'static [&'static str]],
    cancel: bool,
    who: Who,
    namespace: String,
    /// The storage class of the hub's volume.
    class: String,
}

/// What a run came to, names and times aside.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: Option<i32>,
    logs: Vec<String>,
    made: BTreeMap<String, usize>,
}

/// How many times more runs than CI makes.
fn times() -> usize {
    std::env::var("TIDEGATE_SWEEP").map_or(1, |times| times.parse().unwrap())
}

impl Sweep {
    fn project(&self) -> Project {
        let mut settings = format!("  namespace: {}\n", self.namespace);
        if !self.class.is_empty() {
            settings += &format!("  hub: {{ volume: 1Gi, storage-class: {} }}\n", self.class);
        }
        let steps = "defaults: { run: { shell: sh } }
jobs: { a: { steps: [{ run: 'true' }] } }";
        let small = format!(
            "on: workflow_dispatch
{}
",
            steps.replace("shell: sh }", &format!("shell: sh }}, container: '{IMAGE}'"))
        );
        let project = made(self.jobs, &settings).file(SMALL, &small);
        project.sh("git add -A && git commit -q -m small");
        project
    }

    /// Brings a run to its end, whatever is killed; which moments came.
    #[track_caller]
    fn run(&self, project: &Project, moments: BTreeSet<String>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, output) = (folder.path().join("plan"), folder.path().join("said"));
        let mut plan = Plan {
            root: project.path().to_owned(),
            came: folder.path().join("came"),
            namespace: self.namespace.clone(),
            class: self.class.clone(),
            who: self.who,
            moments,
            cancel: self.cancel,
        };
        loop {
            plan.write(&file);
            let out = std::fs::File::create(&output).unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", ENGINE, "--ignored", "--nocapture"])
                .env(PLAN, &file)
                .stdout(out.try_clone().unwrap())
                .stderr(out)
                .spawn();
            let mut child = child.unwrap();
            let ended = wait_or("the engine ends", || child.try_wait().unwrap());
            let _ = (child.kill(), child.wait());
            let said = std::fs::read_to_string(&output).unwrap();
            let came = std::fs::read_to_string(&plan.came).unwrap_or_default();
            let came: Vec<String> = came.lines().map(str::to_owned).collect();
            plan.moments.retain(|moment| !came.contains(moment));
            if said.contains("it ended") || said.contains("it had ended") {
                assert!(plan.moments.is_empty(), "they never came: {:?}", plan.moments);
                if said.contains("it had ended") {
                    // An engine that died after the last event left something, which goes with the store's next run.
                    run(project, &[SMALL]).code(0);
                }
                return came;
            }
            let shown = || project.tidegate(["runs", "show", "1"]).stdout;
            let signal = ended.and_then(|ended| ended.signal());
            assert_eq!(signal, Some(9), "{ended:?} after {:?}: {said}\n{}", came.last(), shown());
        }
    }

    /// What a run came to, once nothing is left of it.
    #[track_caller]
    fn outcome(&self, project: &Project, watched: &Mutex<Watched>) -> (Outcome, String) {
        let everything = || {
            let chosen = selector(project);
            let args =
                ["get", "jobs,pods,secrets,services", "-n", &self.namespace, "-l", &chosen, "-o", "name"];
            kubectl(&args)
        };
        wait("nothing is left of it", || everything().trim().is_empty().then_some(()));
        let done = project.tidegate(["runs", "watch", "1", "--format", "json"]);
        let asked = |more: &&[&str]| {
            let done = project.tidegate([&["runs", "logs", "1"], *more].concat());
            format!("{more:?} {:?}\n{}", done.code, done.stdout)
        };
        let store = std::fs::read_to_string(project.path().join(".tidegate/id")).unwrap();
        let mut made = watched.lock().unwrap().of(store.trim());
        made.retain(|role, _| !role.ends_with(" a 1 ") && !role.ends_with(" a 1 0"));
        (Outcome { code: done.code, logs: self.logs.iter().map(asked).collect(), made }, done.stdout)
    }

    /// Sweeps over all moments with `of` runs, or with only so many of them; returns how many moments came.
    fn sweep(&self, runs: usize, of: usize) -> usize {
        let (runs, of) =
            if runs == of { (runs * times(), of * times()) } else { (of.min(runs * times()), of) };
        let watched = Mutex::new(Watched::new(&self.namespace));
        let reference = self.project();
        self.run(&reference, BTreeSet::new());
        let (wanted, log) = self.outcome(&reference, &watched);
        let (as_it_is, all) =
            (traced(&reference, &log), moments(&names(&log).into_iter().flatten().collect::<Vec<_>>()));
        let (next, came) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let wrong = Mutex::new(Vec::new());
        std::thread::scope(|threads| {
            for _ in 0..if self.who == Who::Engine { AT_ONCE } else { 1 } {
                threads.spawn(|| {
                    while let at = next.fetch_add(1, Ordering::SeqCst)
                        && at < runs
                    {
                        let own: BTreeSet<String> = all.iter().skip(at).step_by(of).cloned().collect();
                        let project = self.project();
                        let moments = self.run(&project, own);
                        came.fetch_add(moments.len(), Ordering::SeqCst);
                        let (found, log) = self.outcome(&project, &watched);
                        let differs = difference(&as_it_is, &traced(&project, &log));
                        if found != wanted || !differs.is_empty() {
                            let text = format!("killed at {moments:?}\n{wanted:#?}\n{found:#?}\n{differs}");
                            wrong.lock().unwrap().push(text);
                        }
                    }
                });
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{} of {runs} runs:\n{}", wrong.len(), wrong.join("\n"));
        let came = came.into_inner();
        assert!(runs < of || came == all.len(), "{came} of {} moments came", all.len());
        came
    }
}

/// Which of two nodes says first that it was told to stop is chance.
fn traced(project: &Project, log: &str) -> Trace {
    trace(&log.replace("node 1: ctrl-c", "ctrl-c"), &[project.path()], &OF_KILLS)
}

/// Everything, in a namespace of its own whose hub has a volume.
fn with_a_hub(who: Who, name: &str, runs: usize, of: usize) -> usize {
    let _guard = beside();
    let namespace = Namespace::new(name, "");
    let volume = objects::Volume::new(&namespace);
    let (space, class) = (namespace.0.clone(), volume.name.clone());
    let sweep = Sweep { jobs: GRAPH, logs: LOGS, cancel: false, who, namespace: space, class };
    let moments = sweep.sweep(runs, of);
    volume.on_the_node(&namespace, "clean", "rm -rf /volume/*");
    moments
}

#[test]
fn an_engine_killed_at_any_event_of_a_run_that_has_everything() {
    let _guard = beside();
    let (namespace, class) = ("default".to_owned(), String::new());
    let sweep = Sweep { jobs: GRAPH, logs: LOGS, cancel: false, who: Who::Engine, namespace, class };
    let moments = sweep.sweep(6, 6);
    println!("sweep: an engine was killed at {moments} moments of a run that has everything");
    assert!(moments > 200);
}

#[test]
fn an_engine_killed_at_any_event_of_a_run_that_is_cancelled() {
    let _guard = beside();
    let (namespace, class) = ("default".to_owned(), String::new());
    let (jobs, logs) = (CANCELLED, CANCELLED_LOGS);
    let sweep = Sweep { jobs, logs, cancel: true, who: Who::Engine, namespace, class };
    let moments = sweep.sweep(3, 3);
    println!("sweep: an engine was killed at {moments} moments of a run that is cancelled");
    assert!(moments > 50);
}

/// Each run of it takes its time: a new hub every few events. All of them: `TIDEGATE_SWEEP=12`.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_hub_killed_at_many_events() {
    let moments = with_a_hub(Who::Hub, "sweep-hub", 1, 12);
    println!("sweep: a hub was killed at {moments} moments");
    assert!(moments > 15);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_engine_and_its_hub_killed_together_at_many_events() {
    let moments = with_a_hub(Who::Both, "sweep-both", 1, 12);
    println!("sweep: an engine and its hub were killed at {moments} moments");
    assert!(moments > 15);
}
