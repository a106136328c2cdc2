//! `run --detach`: an engine in the cluster, and those who speak to it from outside. A namespace a test.
//! Here is what the tests share.

mod accounts;
mod again;
mod alone;
mod engines;
mod requests;
mod thin;

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

    /// Without an engine.
    fn bare(name: &str, jobs: &str) -> Self {
        let guard = beside();
        let space = Namespace::new(name, "");
        let settings = format!("  namespace: {}\n", space.0);
        Self { place: Place { _guard: guard, project: made(jobs, &settings) }, space }
    }

    /// Another project that hands runs to the same engine.
    fn beside(&self, jobs: &str) -> Project {
        made(jobs, &format!("  namespace: {}\n", self.space.0))
    }

    /// Starts a command and leaves it running.
    fn spawn(&self, args: &[&str]) -> Child {
        self.place.project.spawn_with(args, &[("KUBECONFIG", &kubeconfig())])
    }

    /// A JSON path of the engine's pod.
    fn engine(&self, path: &str) -> String {
        let path = format!("jsonpath={{.items[*]{path}}}");
        let chosen = ["get", "pods", "-l", "app.kubernetes.io/name=tidegate-engine", "-o", &path];
        self.kubectl(&chosen).trim().to_owned()
    }

    /// How many processes run in the engine's container.
    fn processes(&self) -> usize {
        let id = self.container();
        cluster(&["enter", "ctr", "-n", "k8s.io", "tasks", "ps", &id]).lines().count() - 1
    }

    fn container(&self) -> String {
        let id = self.engine(".status.containerStatuses[0].containerID");
        id.rsplit('/').next().unwrap().to_owned()
    }

    fn tidegate(&self, args: &[&str]) -> Done {
        self.place.project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())])
    }

    /// Hands a run over; its number.
    fn submit(&self, more: &[&str]) -> String {
        let args = [&["run", "--on", "kubernetes", "--detach", "--format", "json"], more].concat();
        self.number(&self.tidegate(&args).code(0).stdout).to_string()
    }

    /// The number of a run that was handed over: as the engine said at once, or says later.
    fn number(&self, said: &str) -> u64 {
        let said: Json = serde_json::from_str(said).unwrap();
        let later = || {
            let shown = self.asked(&["runs", "show", said["run"].as_str()?, "--format", "json"]).stdout;
            serde_json::from_str::<Json>(&shown).ok()?["number"].as_u64()
        };
        said["number"].as_u64().unwrap_or_else(|| wait("the engine has taken it in", later))
    }

    fn asked(&self, args: &[&str]) -> Done {
        self.tidegate(&[args, &["--on", "kubernetes"]].concat())
    }

    fn watch(&self, number: &str) -> Done {
        self.asked(&["runs", "watch", number])
    }

    /// Waits until the log of a run has some text.
    fn wait_log(&self, number: &str, text: &str) {
        wait(&format!("the log says {text:?}"), || {
            self.asked(&["runs", "logs", number]).stdout.contains(text).then_some(())
        });
    }

    fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["-n", &self.space.0], args].concat())
    }

    /// Jobs, their pods and Secrets, and requests are gone.
    fn wait_gone(&self) {
        wait("Jobs, pods, Secrets and requests are gone", || {
            let left = self.kubectl(&["get", "jobs,pods,secrets", "-l", "tidegate.dev/store", "-o", "name"]);
            (left + &self.requests()).trim().is_empty().then_some(())
        });
    }

    fn requests(&self) -> String {
        self.kubectl(&["get", "secrets", "-l", "tidegate.dev/run-request", "-o", "name"])
    }

    /// How many pods there ever were for attempts, by Job, once so many Jobs had one: events come when there is time for
    /// them.
    fn pods_made(&self, jobs: usize) -> Vec<u32> {
        let told = || Some(self.pods_told()).filter(|made| made.len() >= jobs);
        wait_or("their pods are told", told).unwrap_or_else(|| self.pods_told())
    }

    fn pods_told(&self) -> Vec<u32> {
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

    /// Kills all that runs in the engine's container. One that was just started again is told a moment later.
    fn kill_engine(&self) {
        wait("the engine's container is killed", || {
            let script = format!(
                "ctr -n k8s.io tasks kill -s SIGKILL -a {} 2>/dev/null && echo killed || true",
                self.container()
            );
            cluster(&["enter", "sh", "-c", &script]).contains("killed").then_some(())
        });
    }

    /// What the engine has noted on requests.
    fn notes(&self) -> String {
        let path = "jsonpath={.items[*].metadata.annotations}";
        self.kubectl(&["get", "secrets", "-l", "tidegate.dev/run-request", "-o", path])
    }
}
