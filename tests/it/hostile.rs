//! Output and processes that mean no good, through the real supervisor: memory stays flat, order is kept,
//! nothing outlives its job.

use crate::agent::{Host, job, script, step};
use crate::harness::until;
use std::time::{Duration, Instant};
use tidegate_edge::agent::processes;
use tidegate_flow::job::{AgentRequest, Conclusion, StepSpec};

/// The most memory a process ever held, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_is_flat_in_the_length_of_lines_and_of_output() {
    let host = Host::start();
    let before = peak({
        host.run(&job(vec![script("echo warm")]), &[("S", "unlikely-secret")]).ok();
        host.executor.pid()
    });
    let mut spec = job(vec![
        // One line; then many; then lines that may be commands, and one that may be for ever.
        script("head -c 100000000 /dev/zero | tr '\\0' x; echo"),
        script("yes 'some line of output' | head -c 50000000"),
        script(
            "yes '::error::e' | head -n 200000; printf '::error::'; head -c 30000000 /dev/zero | tr '\\0' y",
        ),
        script("yes unlikely-secre | head -c 5000000"),
    ]);
    spec.secrets = vec!["S".into()];
    let ran = host.run(&spec, &[("S", "unlikely-secret")]).ok();
    assert!(ran.bytes.len() > 185_000_000, "{}", ran.bytes.len());
    assert_eq!(ran.annotations().len(), 10);
    let grown = peak(host.executor.pid()) - before;
    assert!(grown < 40_000, "the supervisor grew by {grown} KiB");
}

#[test]
fn both_outputs_are_in_order() {
    let host = Host::start();
    let ran = host.run(&job(vec![script("for i in $(seq 200); do echo o$i; echo e$i >&2; done")]), &[]).ok();
    let want: Vec<String> = (1..=200).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(ran.log(), want.concat());
}

#[test]
fn thousands_of_masks_are_no_trap() {
    let host = Host::start();
    let started = Instant::now();
    let ran = host
        .run(&job(vec![script("for i in $(seq 400); do echo \"::add-mask::secret-number-$i-x\"; echo \"see secret-number-$i-x\"; done")]), &[])
        .ok();
    assert_eq!(ran.log(), "see ***\n".repeat(400));
    assert!(started.elapsed() < Duration::from_mins(3));
}

#[test]
fn masks_meet_reads_prefixes_and_several_lines() {
    let host = Host::start();
    let secrets =
        [("A", "abcdef"), ("B", "abcdefghij"), ("C", "hijklmno"), ("D", "first line\nsecond line\n")];
    let steps = vec![
        script("printf 'abc'; sleep 0.1; printf 'def|abcdefgh'; sleep 0.1; printf 'ijklmno|'; echo 'abcdeg'"),
        script(
            "echo 'second line'; printf 'first line\\nsecond line\\n'; echo '{\"k\":\"first line\\nsecond line\"}'",
        ),
        script(
            "printf 'abcdef' | base64; printf '1abcdef' | base64; printf '12abcdef' | base64; printf 'waits: abcd'; sleep 0.3; echo",
        ),
    ];
    let mut spec = job(steps);
    spec.secrets = secrets.iter().map(|(n, _)| (*n).to_owned()).collect();
    let ran = host.run(&spec, &secrets).ok();
    let log = ran.log();
    // `abcdefghijklmno` is the union of B and C.
    assert!(log.starts_with("***|***|abcdeg\n***\n"), "{log}");
    for (_, secret) in secrets {
        for line in secret.lines() {
            assert!(!log.contains(line), "{line} in {log}");
        }
    }
    assert!(!log.contains("YWJjZGVm") && !log.contains("FiY2RlZ") && !log.contains("hYmNkZW"), "{log}");
    assert!(log.ends_with("waits: abcd\n"), "{log}");
}

#[test]
fn what_cannot_become_a_secret_is_shown_at_once() {
    let host = Host::start();
    let mut spec = job(vec![script("printf '%s' 'progress 50% abc'; sleep 900")]);
    spec.secrets = vec!["A".into()];
    host.begin(&spec, &[("A", "abcdef")]);
    let path = tidegate_edge::agent::log_path_of(host.store.path(), &spec);
    until("it is shown", || {
        (std::fs::read_to_string(&path).unwrap_or_default() == "progress 50% ").then_some(())
    });
    host.executor.send(&AgentRequest::Kill { token: spec.token.clone() }).unwrap();
    let ran = host.finish(&spec);
    assert_eq!((ran.log().as_str(), ran.receipt().conclusion), ("progress 50% abc\n", Conclusion::Cancelled));
}

/// Processes whose command line holds a word.
fn alive(word: &str) -> usize {
    let holds = |pid: u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    processes().values().filter(|p| !p.zombie && holds(p.pid)).count()
}

#[test]
fn daemons_of_every_kind_end_with_a_timeout_a_cancel_and_the_job() {
    let host = Host::start();
    for (way, number) in [("timeout", 7391), ("cancel", 7392), ("end", 7393)] {
        // Nobody else of this machine sleeps as long.
        let word = &format!("{number}.{}", std::process::id());
        let fork = format!(
            "nohup sleep {word} >/dev/null 2>&1 & setsid sleep {word} & (setsid sh -c '(sleep {word} &) ; exec sleep {word}' &) ; env -i setsid sleep {word} & python3 -c \"
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        os.execvp('sleep', ['sleep', '{word}'])
    os._exit(0)
os.wait()
\"
while [ $(pgrep -fc 'sleep {word}') -lt 6 ]; do sleep 0.02; done; echo forked > {}/forked"
            , host.store.path().display());
        let wait = if way == "end" { "true" } else { "trap '' TERM; while :; do sleep 0.1; done" };
        let mut spec = job(vec![
            StepSpec {
                timeout_minutes: if way == "timeout" { "0.05".into() } else { String::new() },
                ..script(&format!("{fork}\n{wait}"))
            },
            step("", "always()", "echo after"),
        ]);
        spec.grace_seconds = 0.3;
        host.begin(&spec, &[]);
        if way == "cancel" {
            until("all are there", || host.store.path().join("forked").exists().then_some(()));
            host.executor
                .send(&AgentRequest::Cancel { token: spec.token.clone(), reason: "by hand".into() })
                .unwrap();
        }
        let ran = host.finish(&spec);
        assert!(ran.log().contains("after\n"), "{way}: {}", ran.log());
        assert_eq!(alive(word), 0, "{way}");
        let _ = std::fs::remove_file(host.store.path().join("forked"));
    }
}
