//! Whether the kernel killed a process for memory: the kernel's own counters say so.

use std::path::Path;
use std::sync::Mutex;

static SEEN: Mutex<Option<Kills>> = Mutex::new(None);

/// Counters of kills for memory.
#[derive(Clone, Copy)]
struct Kills {
    machine: u64,
    group: u64,
}

/// Remembers the counters of this moment; kills before it do not count.
pub fn remember() {
    if let Ok(mut seen) = SEEN.lock() {
        *seen = Some(kills());
    }
}

/// Tells whether somebody was killed for memory since [`remember`] or the last call.
pub fn killed_for_memory() -> bool {
    since_last(|before, now| now.machine > before.machine || now.group > before.group)
}

/// The same, where the machine's other kills are other people's: in a container.
pub fn killed_for_memory_here() -> bool {
    since_last(|before, now| now.group > before.group)
}

fn since_last(differ: impl Fn(Kills, Kills) -> bool) -> bool {
    let now = kills();
    let Ok(mut seen) = SEEN.lock() else { return false };
    let before = seen.replace(now);
    before.is_some_and(|before| differ(before, now))
}

/// Kills for memory of this machine and of this process's control group.
fn kills() -> Kills {
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut sum = 0;
    for line in group.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) =
            (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if controllers.is_empty() {
            sum += in_group("/sys/fs/cgroup", path, "memory.events");
        } else if controllers == "memory" {
            sum += in_group("/sys/fs/cgroup/memory", path, "memory.oom_control");
        }
    }
    Kills { machine: counter("/proc/vmstat", "oom_kill"), group: sum }
}

/// A group's counter. In a container the path is the node's, and the container's own group is the root.
fn in_group(root: &str, path: &str, file: &str) -> u64 {
    let own = format!("{root}{path}/{file}");
    if Path::new(&own).exists() {
        counter(&own, "oom_kill")
    } else {
        counter(&format!("{root}/{file}"), "oom_kill")
    }
}

fn counter(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|l| l.split_once(' '))
        .find(|(n, _)| *n == name)
        .and_then(|(_, v)| v.trim().parse().ok())
        .unwrap_or(0)
}
