//! The processes of attempts: which are ours, and how to end all of them, those that left their
//! process group included.
//!
//! Three nets: the process group; the children of this process, which adopts orphans as a child
//! subreaper; and the mark that every process inherits in its environment (`RUNNER_TRACKING_ID`, as
//! GitHub's runner does). Reading `/proc` is paid for only when something was left behind.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

/// The variable that marks processes of an attempt.
pub const MARK: &str = "RUNNER_TRACKING_ID";

/// What this process started on purpose.
#[derive(Debug, Default)]
pub struct Children {
    /// Held for reading while a process is started, so that a scan never sees one half known.
    gate: RwLock<()>,
    live: Mutex<BTreeSet<u32>>,
    attempts: AtomicUsize,
}

impl Children {
    /// Counts an attempt that starts.
    pub fn enter(&self) {
        self.attempts.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts an attempt that ended.
    pub fn leave(&self) {
        self.attempts.fetch_sub(1, Ordering::AcqRel);
    }

    /// Starts a process and remembers it.
    pub fn start(&self, command: &mut std::process::Command) -> std::io::Result<std::process::Child> {
        let _gate = self.gate.read();
        let child = command.spawn()?;
        if let Ok(mut live) = self.live.lock() {
            live.insert(child.id());
        }
        Ok(child)
    }

    /// Forgets a process that was waited for.
    pub fn reaped(&self, pid: u32) {
        if let Ok(mut live) = self.live.lock() {
            live.remove(&pid);
        }
    }

    /// Tells whether this process has children that it did not start: orphans of steps.
    pub fn has_strays(&self) -> bool {
        // The kernel gives orphans to the first thread of the reaper, which starts nothing itself.
        let own = std::process::id();
        match std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
            Ok(text) => {
                let mut adopted =
                    text.split_ascii_whitespace().filter_map(|p| p.parse::<u32>().ok()).peekable();
                adopted.peek().is_some()
                    && self.live.lock().is_ok_and(|live| adopted.any(|pid| !live.contains(&pid)))
            }
            Err(_) => true,
        }
    }

    /// Tells whether an orphan lives that does not say whose it is.
    pub fn has_unmarked(&self) -> bool {
        self.has_strays() && {
            let _gate = self.gate.write();
            let own = std::process::id();
            let live = self.live.lock().map(|l| l.clone()).unwrap_or_default();
            let stray = |p: &Process| p.parent == own && !p.zombie && !live.contains(&p.pid);
            processes().values().any(|p| stray(p) && !has_mark(p.pid, "", false))
        }
    }

    /// Ends what an attempt left behind; returns the names of what was ended. `mark` is the
    /// whole value of the mark, or its start.
    pub fn clean(&self, mark: &str, whole: bool) -> Vec<String> {
        let mut ended = BTreeMap::new();
        for round in 0..200_u64 {
            let strays = self.strays(mark, whole);
            if strays.is_empty() {
                break;
            }
            let mut alive = false;
            for process in &strays {
                if process.zombie {
                    reap(process.pid);
                    continue;
                }
                alive = true;
                ended.entry(process.pid).or_insert_with(|| process.name.clone());
                signal(process.pid, Signal::KILL);
            }
            if alive {
                std::thread::sleep(Duration::from_millis(round.min(20)));
            }
        }
        ended.into_values().collect()
    }

    /// Processes that carry the mark, and all below them; and, while no other attempt runs, every
    /// child that nobody started on purpose (a daemon that also threw its environment away).
    fn strays(&self, mark: &str, whole: bool) -> Vec<Process> {
        let _gate = self.gate.write();
        let own = std::process::id();
        let live = self.live.lock().map(|l| l.clone()).unwrap_or_default();
        let alone = self.attempts.load(Ordering::Acquire) <= 1;
        let table = processes();
        let mut found: BTreeSet<u32> = BTreeSet::new();
        for process in table.values().filter(|p| p.pid != own && !live.contains(&p.pid)) {
            let adopted = process.parent == own;
            if (adopted && (alone || process.zombie)) || has_mark(process.pid, mark, whole) {
                found.insert(process.pid);
            }
        }
        below(&table, &mut found);
        table.into_values().filter(|p| found.contains(&p.pid)).collect()
    }
}

/// A process as `/proc` shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its short name.
    pub name: String,
    /// Ended and not waited for.
    pub zombie: bool,
}

/// Lists all processes that can be seen.
pub fn processes() -> BTreeMap<u32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            parse_stat(pid, &String::from_utf8_lossy(&stat)).map(|p| (pid, p))
        })
        .collect()
}

/// `pid (name) state ppid pgrp …`; the name may hold spaces and parentheses.
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Process {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        name,
        zombie,
    })
}

/// Tells whether a process inherited the mark; `whole`: exactly this value, else one that starts so.
pub fn has_mark(pid: u32, mark: &str, whole: bool) -> bool {
    let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("{MARK}={mark}");
    environ
        .split(|b| *b == 0)
        .any(|entry| if whole { entry == wanted.as_bytes() } else { entry.starts_with(wanted.as_bytes()) })
}

/// Adds everything below the processes found so far.
pub fn below(table: &BTreeMap<u32, Process>, found: &mut BTreeSet<u32>) {
    loop {
        let more: Vec<u32> = table
            .values()
            .filter(|p| found.contains(&p.parent) && !found.contains(&p.pid))
            .map(|p| p.pid)
            .collect();
        if more.is_empty() {
            return;
        }
        found.extend(more);
    }
}

/// Sends a signal to a step's process group, to everything below it and to what carries the mark.
pub fn signal_all(leader: u32, mark: &str, signal_: Signal) {
    let table = processes();
    let mut found: BTreeSet<u32> =
        table.values().filter(|p| p.group == leader || p.pid == leader).map(|p| p.pid).collect();
    let own = std::process::id();
    found.extend(table.values().filter(|p| p.pid != own && has_mark(p.pid, mark, true)).map(|p| p.pid));
    below(&table, &mut found);
    if let Some(pid) = id(leader) {
        let _ = kill_process_group(pid, signal_);
    }
    for process in found.iter().filter_map(|pid| table.get(pid)) {
        // Members of the group have it already; a second SIGTERM would end a program that is cleaning up.
        if process.group != leader {
            signal(process.pid, signal_);
        }
    }
}

/// Sends a signal to one process; a process that is gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = id(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Takes the status of an ended child, so that it does not stay as a zombie.
pub fn reap(pid: u32) {
    if let Some(pid) = id(pid) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn id(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|p| *p > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names() {
        let p = parse_stat(7, "7 (a) b (c)) Z 1 5 5 0").unwrap();
        assert_eq!((p.parent, p.group, p.zombie, p.name.as_str()), (1, 5, true, "a) b (c)"));
        assert!(parse_stat(7, "").is_none());
    }
}
