//! Every end that a container can have, each made to happen.

use super::{containers, engine, force_remove, nothing_left, project, run, spawn, wait_log};
use crate::harness::{Project, until};
use crate::images::{WANTS_MEMORY, wants_memory};
use std::process::Child;

fn interrupt(child: &Child) {
    let signal = rustix::process::Signal::INT;
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn exit_codes_signals_and_timeouts() {
    let project = project(
        "  code: { steps: [{ run: 'echo last words >&2; exit 7' }] }
  signal: { steps: [{ run: 'kill -9 $$' }] }
  slow: { timeout-minutes: 0.02, steps: [{ run: 'sleep 60' }, { if: 'always()', run: 'echo after' }] }
",
    );
    let done = run(&project, &[]).code(1);
    done.stdout("failure: exit 7")
        .stdout("last words")
        .stdout("killed by signal 9")
        .stdout("timeout: timed out");
    project.tidegate(["runs", "logs", "1", "slow"]).stdout("after");
    nothing_left(&project);
}

#[test]
fn a_step_killed_for_memory_is_tried_again_with_more() {
    let project = project(WANTS_MEMORY);
    wants_memory(&project, || run(&project, &[]));
    nothing_left(&project);
}

#[test]
fn a_service_that_ended_is_named_beside_what_failed() {
    let project = project(
        "  a:
    services:
      early: { image: 'docker.io/test/busybox:1', entrypoint: sh, command: -c \"exit 4\" }
      frail:
        image: 'docker.io/test/busybox:1'
        options: --health-cmd \"test -e /tmp/ready\" --health-interval 1s --health-retries 240
        entrypoint: sh
        command: -c \"sleep 3; touch /tmp/ready; nc -l -p 9090; exit 7\"
    steps: [{ run: 'until echo stop | nc frail 9090; do sleep 0.2; done; sleep 6; exit 3' }]
",
    );
    let done = run(&project, &[]).code(1).stdout("; the service `early` ended with exit 4 before steps ran");
    done.stdout("; the service `frail` ended with exit 7 while steps ran");
    nothing_left(&project);
}

#[test]
fn an_image_that_is_not_there_or_not_right_is_named() {
    let project = project(
        "  a: { container: 'localhost/test/none:1', steps: [{ run: 'true' }] }
  b: { container: { image: 'docker.io/test/busybox:1', options: '--user nobodyknows' }, steps: [{ run: 'true' }] }
",
    );
    let done = run(&project, &[]).code(1).stdout("image: the image localhost/test/none:1 cannot be had");
    done.stdout("image: ").stdout("nobodyknows");
    nothing_left(&project);
}

/// Removed, killed, stopped: each time the attempt is lost, and the next one starts anew.
#[test]
fn what_somebody_else_does_to_a_container_is_lost_and_tried_again() {
    let project = project(
        "  a:
    checkpoint: c
    steps: [{ run: 'echo x >> c/n; echo attempt $(wc -l < c/n); [ $(wc -l < c/n) -ge 4 ] || sleep 600' }]
",
    );
    let child = spawn(&project, &[]);
    for (attempt, how) in [(1, &[][..]), (2, &["kill"][..]), (3, &["stop", "-t=20"][..])] {
        wait_log(&project, &format!("attempt {attempt}"));
        let name = until("there is its container", || {
            containers(&project).into_iter().find(|name| name.ends_with(&format!("-{attempt}-steps")))
        });
        match how {
            [] => force_remove(&name),
            how => drop(engine(&[how, &[&name]].concat())),
        }
    }
    let done = project.done(child).code(0);
    // `rm --force` kills before it removes: which of the two is seen is chance.
    assert_eq!(done.stdout.matches("lost: its container was ").count(), 3, "{}", done.stdout);
    done.stdout("lost: its container was ended by somebody (exit 137)")
        .stdout("lost: its container was stopped by somebody")
        .stdout("on attempt 4");
    nothing_left(&project);
}

#[test]
fn a_cancel_runs_what_always_runs() {
    let project = project(
        "  a: { steps: [{ run: 'echo going; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }] }\n",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, "going");
    interrupt(&child);
    project.done(child).code(5);
    project.tidegate(["runs", "logs", "1"]).stdout("cleaned up");
    nothing_left(&project);
}

/// A service that ends, and one that never gets well.
#[test]
fn a_service_that_is_not_healthy_says_why() {
    let service = |command: &str, retries: u32| {
        format!(
            "    services: {{ db: {{ image: '{}', entrypoint: sh, command: \"-c '{command}'\", options: '--health-cmd false --health-interval 1s --health-retries {retries}' }} }}\n    steps: [{{ run: 'true' }}]\n",
            super::IMAGE
        )
    };
    let text = format!("  a:\n{}  b:\n{}", service("echo no data >&2; exit 3", 60), service("sleep 600", 2));
    let project: Project = project(&text);
    let done = run(&project, &[]).code(1);
    let done = done.stdout("service `db` ended with exit 3 before it was healthy: no data");
    done.stdout("service `db` did not get healthy in 2 s");
    nothing_left(&project);
}
