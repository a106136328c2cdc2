//! Pods that wait: that they do, and why, is said to everybody who looks, and `pending-timeout` ends it.

use super::trouble::Door;
use super::*;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::ChildStderr;

/// Waits until `runs show` says that the job waits, and why.
fn wait_shown(project: &Project, reason: &str) {
    wait(&format!("it is shown that it waits: {reason}"), || {
        project.tidegate(["runs", "show", "1"]).stdout.contains(reason).then_some(())
    });
}

#[test]
fn a_queue_and_then_no_node_until_the_time_is_up() {
    let project = project_with(
        "  a: { queue: research, resources: { gpu: 9 }, steps: [{ run: 'echo ran' }] }\n",
        "  pending-timeout: 90s\n",
    );
    let child = spawn(&project, &[]);
    wait_shown(&project, "waits: it waits in the queue `research`");
    project.tidegate(["runs", "logs", "1"]).code(0).stderr("a waits: it waits in the queue");
    let job = kubectl(&["get", "jobs", "-l", &selector(&project), "-o", "name"]);
    kubectl(&["patch", job.trim(), "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    wait_shown(
        &project,
        "waits: no node has 9 nvidia.com/gpu free; ask for less in `resources`, or let the cluster grow (0/1 nodes are \
         available: 1 Insufficient nvidia.com/gpu)",
    );
    let done = project.done(child).code(1);
    let told = |text: &str| done.stdout.matches(text).count();
    assert_eq!(told("waits: it waits in the queue"), 1, "{}", done.stdout);
    assert_eq!(told("waits: no node has 9 nvidia.com/gpu free; ask for less"), 1, "{}", done.stdout);
    let done = done
        .stdout("unschedulable: no node has 9 nvidia.com/gpu free (0/1 nodes")
        .stdout("`pending-timeout`");
    done.stdout("ask for less in `resources`");
    let events = project.tidegate(["runs", "watch", "1", "--format", "json"]).code(1).stdout;
    assert_eq!(events.matches("\"attempt-waiting\"").count(), 2, "{events}");
    wait_gone(&project);
}

#[test]
fn a_quota_without_room_until_the_time_is_up() {
    let project = project_with(
        "  a: { strategy: { matrix: { n: [1, 2] } }, resources: { cpu: 1 }, steps: [{ run: 'echo ran' }] }\n",
        "  pending-timeout: 15s\n",
    );
    let namespace = Namespace::new("full", "");
    namespace.quota("requests.cpu", "500m");
    let done = run(&project, &["--namespace", &namespace.0]).code(1);
    let done = done.stdout("waits: a quota of the namespace is used up").stdout("unschedulable: a quota");
    let done = done.stdout("let the quota be raised");
    assert_eq!(done.stdout.matches("waits: a quota").count(), 1, "once for all instances: {}", done.stdout);
    let events = project.tidegate(["runs", "watch", "1", "--format", "json"]).code(1).stdout;
    assert_eq!(events.matches("\"attempt-waiting\"").count(), 2, "{events}");
}

/// Waits until a running command has said something on its standard error, which the caller holds open.
fn wait_err(child: &mut Child, text: &str) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = said.by_ref().lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(text)), "it ended, and never said {text:?}");
    said
}

#[test]
fn an_api_server_that_does_not_answer_at_first() {
    let (project, door) = (project("  a: { steps: [{ run: 'echo ran' }] }\n"), Door::new());
    door.is("shut");
    let mut child = door.spawn(&project);
    // It has asked in vain.
    let _more = wait_err(&mut child, "the run waits for it, 60 s at most");
    door.is("open");
    project.done(child).code(0);
    wait_gone(&project);
}

/// A kubeconfig whose server or token is another one.
fn kubeconfig_with(from: &str, to: &str) -> tempfile::NamedTempFile {
    let raw = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
    let mut config: serde_json::Value = serde_json::from_str(&raw).unwrap();
    *config.pointer_mut(from).unwrap() = to.into();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    file
}

fn run_with(project: &Project, kubeconfig: &Path) -> Done {
    project.tidegate_with(args(&[]), &[("KUBECONFIG", kubeconfig.to_str().unwrap())])
}

/// A port of this machine that nobody listens on.
fn closed() -> String {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("https://{}", taken.local_addr().unwrap())
}

#[test]
fn what_a_next_try_would_not_change_ends_at_once() {
    let project = project("  a: { steps: [{ run: 'true' }] }\n");
    let at_once = |run: &dyn Fn() -> Done| {
        let began = Instant::now();
        let done = run().code(4);
        let waited = done.stderr.contains("the run waits for it");
        assert!(
            !waited || began.elapsed() < Duration::from_secs(50),
            "nothing is waited for: {}",
            done.stderr
        );
        done
    };
    let wrong = kubeconfig_with("/users/0/user/token", "wrong");
    at_once(&|| run_with(&project, wrong.path()))
        .stderr("Unauthorized")
        .stderr("log in to the cluster again");
    let done = at_once(&|| run(&project, &["--context", "no-such-context"]));
    done.stderr("no-such-context").stderr("kubectl config get-contexts");
}

#[test]
fn a_server_that_never_answers_is_waited_for_no_longer_than_a_minute() {
    let project = project("  a: { steps: [{ run: 'true' }] }\n");
    let nobody = kubeconfig_with("/clusters/0/cluster/server", &closed());
    let done = run_with(&project, nobody.path()).code(4);
    let done = done.stderr("the run waits for it").stderr("see whether `kubectl get pods` works");
    done.stderr("the cluster at https://127.0.0.1:")
        .stderr("run --resume 1 --on kubernetes` goes on with it");
}

#[test]
fn who_waits_for_a_server_may_stop() {
    let project = project("  a: { steps: [{ run: 'true' }] }\n");
    let nobody = kubeconfig_with("/clusters/0/cluster/server", &closed());
    let path = nobody.path().to_str().unwrap().to_owned();
    let child = project.spawn_with(args(&[]), &[("KUBECONFIG", &path)]);
    wait("the run is there", || project.tidegate(["runs", "list"]).stdout.contains("test").then_some(()));
    let began = Instant::now();
    interrupt(&child);
    project.done(child).code(4).stderr("stopped while the API server was waited for");
    assert!(began.elapsed() < Duration::from_secs(40), "it does not wait out the minute");
}
