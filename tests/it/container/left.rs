//! Engines that are killed: nothing of theirs runs on, and nothing is left.

use super::{containers, nothing_left, project, run, spawn, tidegate, wait_log};
use crate::harness::{Project, until};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;

const JOBS: &str = "  a:
    services: { db: { image: 'docker.io/test/busybox:1', entrypoint: sleep, command: '600' } }
    steps: [{ run: 'echo going; [ -e /tmp/never ] || sleep 600' }]
  b:
    steps: [{ run: 'true' }]
";

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Both at once: a supervisor that sees its engine go would clean up.
fn kill_both(engine: &mut Child, supervisor: u32) {
    signal(supervisor, Signal::STOP);
    kill(engine.id());
    kill(supervisor);
    engine.wait().unwrap();
}

fn supervisor(child: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    until("there is a supervisor", || {
        let children = std::fs::read_to_string(&path).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--supervise"))
        })
    })
}

fn started() -> (Project, Child) {
    let project = project(JOBS);
    let child = spawn(&project, &["--job", "a"]);
    wait_log(&project, "going");
    assert_eq!(containers(&project).len(), 3);
    (project, child)
}

#[test]
fn a_killed_engine_leaves_no_container() {
    let (project, mut child) = started();
    kill(child.id());
    child.wait().unwrap();
    until("its containers are gone", || containers(&project).is_empty().then_some(()));
    until("its folder is gone", || {
        std::fs::read_dir(project.path().join(".tidegate/containers")).unwrap().next().is_none().then_some(())
    });
    let resumed = tidegate(&project, &["run", "--resume", "1"]).code(2);
    resumed.stderr("--on container");
}

#[test]
fn what_an_engine_and_its_supervisor_left_goes_with_the_next_run() {
    for gc in [false, true] {
        let (project, mut child) = started();
        let supervisor = supervisor(&child);
        kill_both(&mut child, supervisor);
        assert!(!containers(&project).is_empty());
        if gc {
            let listed = tidegate(&project, &["runs", "gc", "--on", "container", "--dry-run"]).code(0);
            listed.stdout("would be removed").stdout("-service-db");
            assert!(!containers(&project).is_empty());
            tidegate(&project, &["runs", "gc", "--on", "container"]).code(0).stdout("3 containers removed");
        } else {
            run(&project, &["--job", "b"]).code(0);
        }
        nothing_left(&project);
    }
}

#[test]
fn a_killed_supervisor_costs_an_attempt() {
    let jobs = "  a:
    checkpoint: c
    steps: [{ run: 'echo x >> c/n; echo attempt $(wc -l < c/n); [ $(wc -l < c/n) -ge 2 ] || sleep 600' }]
";
    let project = project(jobs);
    let child = spawn(&project, &[]);
    wait_log(&project, "attempt 1");
    kill(supervisor(&child));
    project.done(child).code(0).stdout("lost").stdout("on attempt 2");
    nothing_left(&project);
}

#[test]
fn a_resumed_run_starts_anew_what_ran() {
    let jobs = "  a:
    steps: [{ run: 'echo first' }]
  b:
    needs: a
    checkpoint: c
    steps: [{ run: 'echo x >> c/n; echo attempt $(wc -l < c/n); [ $(wc -l < c/n) -ge 2 ] || sleep 600' }]
";
    let project = project(jobs);
    let mut child = spawn(&project, &[]);
    wait_log(&project, "attempt 1");
    let supervisor = supervisor(&child);
    kill_both(&mut child, supervisor);
    tidegate(&project, &["run", "--resume", "1", "--on", "container"]).code(0);
    project.tidegate(["runs", "logs", "1"]).stdout("attempt 2");
    nothing_left(&project);
}

/// What docker or podman cannot remove is somebody's to look after: it is named.
#[test]
fn a_container_that_cannot_be_removed_is_named() {
    let real = std::env::var("TIDEGATE_CONTAINER_ENGINE").unwrap_or_else(|_| "podman".into());
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in rm*tg-*) echo 'device is busy' >&2; exit 1;; esac\nexec {real} \"$@\"\n"
    );
    let project = project("  a: { steps: [{ run: 'true' }] }\n").program("engine", &script);
    let refuses = project.path().join("engine");
    let env = super::env();
    let mut env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = refuses.to_string_lossy().into_owned();
    env.retain(|(name, _)| *name != "TIDEGATE_CONTAINER_ENGINE");
    env.push(("TIDEGATE_CONTAINER_ENGINE", &path));
    let done = project.tidegate_with(["run", "--on", "container"], &env).code(0);
    let left = containers(&project);
    assert_eq!(left.len(), 1, "{left:?}");
    done.stderr(&format!("{} may be left: ", left[0])).stderr("device is busy");
    super::force_remove(&left[0]);
}
