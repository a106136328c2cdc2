//! Whether the kernel killed a process for memory: the kernel's own counters say so.

use std::sync::Mutex;

static SEEN: Mutex<Option<u64>> = Mutex::new(None);

/// Remembers the counters of this moment; kills before it do not count.
pub fn remember() {
    if let Ok(mut seen) = SEEN.lock() {
        *seen = Some(kills());
    }
}

/// Tells whether somebody was killed for memory since [`remember`] or the last call.
pub fn killed_for_memory() -> bool {
    let now = kills();
    let Ok(mut seen) = SEEN.lock() else { return false };
    let before = seen.replace(now);
    before.is_some_and(|before| now > before)
}

/// Kills for memory of this machine and of this process's control group.
fn kills() -> u64 {
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut sum = counter("/proc/vmstat", "oom_kill");
    for line in group.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) =
            (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if controllers.is_empty() {
            sum += counter(&format!("/sys/fs/cgroup{path}/memory.events"), "oom_kill");
        } else if controllers == "memory" {
            sum += counter(&format!("/sys/fs/cgroup/memory{path}/memory.oom_control"), "oom_kill");
        }
    }
    sum
}

fn counter(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|l| l.split_once(' '))
        .find(|(n, _)| *n == name)
        .and_then(|(_, v)| v.trim().parse().ok())
        .unwrap_or(0)
}
