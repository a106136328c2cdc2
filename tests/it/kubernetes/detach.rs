//! `run --detach`: an engine in the cluster, and those who speak to it from outside. A namespace a test.

use super::*;
use serde_json::Value as Json;

/// A namespace with an engine, and a project that hands runs to it.
struct Detached {
    // Dropped first: the project goes after its namespace.
    space: Namespace,
    place: Place,
}

impl Deref for Detached {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.place.project
    }
}

impl Detached {
    /// Installs an engine whose log lives as long as its pod.
    fn new(name: &str, jobs: &str) -> Self {
        let made = Self::bare(name, jobs);
        made.tidegate(&["install"]).code(0).stdout("the engine runs in namespace");
        made
    }

    fn bare(name: &str, jobs: &str) -> Self {
        let space = Namespace::new(name, "");
        let settings = format!("  namespace: {}\n", space.0);
        Self { place: project_with(jobs, &settings), space }
    }

    fn tidegate(&self, args: &[&str]) -> Done {
        self.place.project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())])
    }

    /// Hands a run over; its number.
    fn submit(&self, more: &[&str]) -> String {
        let args = [&["run", "--on", "kubernetes", "--detach", "--format", "json"], more].concat();
        let said: Json = serde_json::from_str(&self.tidegate(&args).code(0).stdout).unwrap();
        said["number"].as_u64().expect("the engine has taken it in").to_string()
    }

    fn asked(&self, args: &[&str]) -> Done {
        self.tidegate(&[args, &["--on", "kubernetes"]].concat())
    }

    fn watch(&self, number: &str) -> Done {
        self.asked(&["runs", "watch", number])
    }

    /// Waits until the log of a run has some text.
    fn wait_log(&self, number: &str, text: &str) {
        wait(&format!("the log says {text:?}"), 90, || {
            self.asked(&["runs", "logs", number]).stdout.contains(text).then_some(())
        });
    }

    fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["-n", &self.space.0], args].concat())
    }

    /// Jobs, their pods and requests are gone.
    fn wait_gone(&self) {
        wait("Jobs, pods and requests are gone", 90, || {
            let left = self.kubectl(&["get", "jobs,pods", "-l", "tidegate.dev/store", "-o", "name"]);
            (left + &self.requests()).trim().is_empty().then_some(())
        });
    }

    fn requests(&self) -> String {
        self.kubectl(&["get", "secrets", "-l", "tidegate.dev/run-request", "-o", "name"])
    }

    /// How many pods there ever were for attempts, by Job.
    fn pods_made(&self) -> Vec<u32> {
        let events = self.kubectl(&[
            "get",
            "events",
            "--field-selector",
            "reason=SuccessfulCreate,involvedObject.kind=Job",
            "-o",
            "jsonpath={range .items[*]}{.involvedObject.name} {.count}{\"\\n\"}{end}",
        ]);
        let mut made = std::collections::BTreeMap::<&str, u32>::new();
        for (name, count) in events.lines().filter_map(|line| line.split_once(' ')) {
            *made.entry(name).or_default() += count.parse::<u32>().unwrap_or(1);
        }
        made.into_values().collect()
    }
}

const CHAIN: &str = "  a:
    outputs: { x: '${{ steps.s.outputs.x }}' }
    steps: [{ id: s, run: 'cat data.txt; echo x=41 >> $GITHUB_OUTPUT; echo kept > out' }]
    produces: { out: out }
  b:
    needs: a
    consumes: { in: '${{ needs.a.artifacts.out }}' }
    steps: [{ run: 'echo b $(cat in) ${{ needs.a.outputs.x }}; sleep 3' }]
";

#[test]
fn a_run_goes_on_without_the_laptop_and_is_watched_from_outside() {
    let place = Detached::new("thin", CHAIN);
    place.write("data.txt", "from the dirty tree\n");
    let done = place.tidegate(&["run", "--on", "kubernetes", "--detach"]).code(0);
    done.stdout("run 1 (").stdout("is with the engine in").stdout("tidegate runs watch 1 --on kubernetes");
    // Nothing of the laptop is needed any more.
    std::fs::remove_dir_all(place.path().join(".tidegate")).unwrap();
    std::fs::remove_file(place.path().join("data.txt")).unwrap();
    let done = place.watch("1").code(0);
    done.stdout("passed").stdout("tidegate runs show 1 --on kubernetes").nowhere("attempt 2");
    let logs = place.asked(&["runs", "logs", "1"]).code(0);
    logs.stdout("from the dirty tree").stdout("b kept 41");
    place.asked(&["runs", "list"]).code(0).stdout("passed");
    place.asked(&["runs", "show", "1", "--format", "json"]).code(0).stdout("\"number\":1");
    place.asked(&["why", "b"]).code(0).stdout("b ran in run 1");
    assert_eq!(place.pods_made(), [1, 1]);
    place.wait_gone();
}

#[test]
fn the_watcher_ends_as_the_run_does_and_ctrl_c_only_ends_the_watcher() {
    let jobs =
        "  a: { steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n";
    let place = Detached::new("cancel", jobs);
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    let args = ["runs", "watch", &number, "--on", "kubernetes"];
    let spawn = || place.place.project.spawn_with(args, &[("KUBECONFIG", &kubeconfig())]);
    let (first, second) = (spawn(), spawn());
    std::thread::sleep(Duration::from_secs(2));
    interrupt(&first);
    assert_eq!(place.place.project.done(first).code, None, "killed by the signal");
    place.asked(&["runs", "list"]).code(0).stdout("running");
    // What it ran beside the engine is gone, too.
    wait("only one watcher is left in the pod", 30, || {
        let said = place.kubectl(&["exec", "deploy/tidegate-engine", "--", "/tidegate", "--version"]);
        said.contains("tidegate").then_some(())
    });
    place.asked(&["runs", "cancel", &number]).code(0).stdout("--on kubernetes");
    place.place.project.done(second).code(5).stdout("cancelled");
    place.asked(&["runs", "logs", &number]).stdout("cleaned up");
    place.wait_gone();
}

#[test]
fn an_engine_that_is_not_there_is_said_with_what_to_do() {
    let place = Detached::bare("none", CHAIN);
    let done = place.tidegate(&["run", "--on", "kubernetes", "--detach"]).code(4);
    done.stderr("there is no engine in namespace").stderr("tidegate install --namespace test-none");
    place.asked(&["runs", "list"]).code(4).stderr("tidegate install --namespace test-none");
    place.tidegate(&["run", "--detach"]).code(2).stderr("add `--on kubernetes`");
    place.tidegate(&["run", "--on", "kubernetes", "--detach", "--in-place"]).code(2);
}

#[test]
fn an_engine_killed_in_the_middle_goes_on_with_its_pods() {
    let jobs =
        "  a: { steps: [{ run: 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; sleep 1; done' }] }
  b: { needs: a, steps: [{ run: 'echo last' }] }
";
    let place = Detached::new("kill", jobs);
    let number = place.submit(&[]);
    place.wait_log(&number, "line 2");
    let args = ["runs", "watch", &number, "--on", "kubernetes", "--format", "json"];
    let watcher = place.place.project.spawn_with(args, &[("KUBECONFIG", &kubeconfig())]);
    // The engine's processes die at once; its container starts again in the same pod.
    place.kill_engine();
    let seen = place.place.project.done(watcher).code(0);
    let kinds = seen.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let count = |kind: &str| kinds.clone().filter(|event| event["kind"].get(kind).is_some()).count();
    assert_eq!((count("run-created"), count("attempt-started"), count("run-ended")), (1, 2, 1));
    assert_eq!(count("engine-started"), 1, "taken up once");
    let logs = place.asked(&["runs", "logs", &number]).code(0).stdout;
    assert_eq!(logs.lines().filter(|line| line.contains("line ")).count(), 12, "{logs}");
    assert_eq!(place.pods_made(), [1, 1]);
    place.wait_gone();
}

impl Detached {
    /// Kills all that runs in the engine's container.
    fn kill_engine(&self) {
        let id = self.kubectl(&[
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/name=tidegate-engine",
            "-o",
            "jsonpath={.items[0].status.containerStatuses[0].containerID}",
        ]);
        let id = id.trim().rsplit('/').next().unwrap();
        cluster(&["enter", "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", "-a", id]);
    }
}
