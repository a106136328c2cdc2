//! What a step prints is read while it runs.

use super::*;
use std::io::{BufRead as _, BufReader};

/// Seconds since this machine started; the step's node is this machine.
fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_line_is_here_within_a_second() {
    let project = project(
        "  a: { steps: [{ run: 'for i in $(seq 40); do cut -d. -f1,2 /proc/uptime; sleep 0.25; done' }] }\n",
    );
    let child = spawn(&project, &[]);
    wait_log(&project, ".");
    let mut reader = project.spawn(["runs", "logs", "1", "--follow"]);
    let lines = BufReader::new(reader.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Those that were there before the reader came say nothing.
    let began = uptime();
    let mut late: Vec<f64> = lines
        .filter_map(|line| {
            let printed: f64 = line.split_whitespace().rev().nth(1)?.parse().ok()?;
            (printed > began).then(|| uptime() - printed)
        })
        .collect();
    late.sort_by(f64::total_cmp);
    assert!(late.len() > 10, "{late:?}");
    // Nine of ten: this machine does other things, too.
    let ninth = late[late.len() * 9 / 10];
    assert!(ninth < 1.0, "{late:?}");
    reader.wait().unwrap();
    project.done(child).code(0);
    wait_gone(&project);
}
