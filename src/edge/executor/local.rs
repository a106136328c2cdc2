//! Attempts on this machine, as processes or in containers: one supervisor process for all of them,
//! over a pipe.
//!
//! If the supervisor dies, this process adopts what it left (child subreaper), ends it, and says
//! [`ExecutorMessage::Gone`].

use super::container::{ContainerOptions, remove_leftovers};
use super::{Executor, ExecutorMessage};
use crate::agent::{Frames, MARK, below, has_mark, invalid, processes, reap, signal};
use rustix::process::{Signal, getpgrp};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_flow::job::AgentRequest;
use tidegate_flow::wire::v1::{decode_message, encode_request};

/// What a local executor is started with.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The program that knows `agent --supervise`: this one.
    pub exe: PathBuf,
    /// The store's folder.
    pub store: PathBuf,
    /// The run whose attempts it hosts: all their processes carry its name.
    pub run: String,
    /// `Some`: steps run in containers.
    pub containers: Option<ContainerOptions>,
}

impl LocalOptions {
    /// Removes the containers of the run, which nobody looks after any more; returns what is to be said where
    /// they cannot be.
    fn remove_containers(&self) -> Option<String> {
        let containers = self.containers.as_ref()?;
        let others = |run: &str| run != self.run;
        let removed = remove_leftovers(&containers.engine, &self.store, &containers.store_id, &others, false);
        let error = removed.err()?;
        Some(format!(
            "containers of this run may be left: {error}; `tidegate runs gc --on container` removes what is"
        ))
    }
}

/// A supervisor process and the pipe to it.
pub struct LocalExecutor {
    requests: Mutex<Option<ChildStdin>>,
    pid: u32,
    reader: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

impl LocalExecutor {
    /// Starts the supervisor; `sink` is called on a thread of its own, in order.
    pub fn start(options: &LocalOptions, sink: Box<dyn Fn(ExecutorMessage) + Send>) -> io::Result<Self> {
        // Orphans of a killed supervisor come to this process, so that it can end them.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let mark = new_mark(&options.store, &options.run);
        let mut command = Command::new(&options.exe);
        command.args(["agent", "--supervise", "--mark"]).arg(&mark).arg("--store").arg(&options.store);
        if let Some(containers) = &options.containers {
            command.arg("--containers").arg(serde_json::to_string(containers)?);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C on the terminal is for the engine; it tells the supervisor.
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let (requests, messages) = (child.stdin.take(), child.stdout.take());
        let messages = messages.ok_or_else(|| io::Error::other("the supervisor has no output"))?;
        let stopping = Arc::new(AtomicBool::new(false));
        let reader = {
            let (stopping, options) = (stopping.clone(), options.clone());
            std::thread::Builder::new().name("local executor".into()).spawn(move || {
                let error = read(messages, &sink);
                let reason = ended(&mut child, error);
                if !stopping.load(Ordering::Acquire) {
                    // Before their monitors, which are orphans, too.
                    if let Some(text) = options.remove_containers() {
                        sink(ExecutorMessage::Note { text });
                    }
                    end_orphans(&mark);
                    sink(ExecutorMessage::Gone { reason });
                }
            })?
        };
        Ok(Self { requests: Mutex::new(requests), pid, reader: Some(reader), stopping })
    }

    /// Sends a request. An error means that the supervisor is gone; [`ExecutorMessage::Gone`] follows.
    pub fn send(&self, request: &AgentRequest) -> io::Result<()> {
        self.send_all(std::slice::from_ref(request))
    }

    /// Returns the supervisor's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn end(&mut self) {
        self.close();
        if let Some(reader) = self.reader.take()
            && reader.thread().id() != std::thread::current().id()
        {
            let _ = reader.join();
        }
    }
}

impl Executor for LocalExecutor {
    /// All with one write.
    fn send_all(&self, requests: &[AgentRequest]) -> io::Result<()> {
        let mut frames = Vec::new();
        for request in requests {
            frames.extend(encode_request(request).map_err(invalid)?);
        }
        let mut pipe = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(&frames)
    }

    fn close(&mut self) {
        self.stopping.store(true, Ordering::Release);
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn stop(mut self: Box<Self>) {
        self.end();
    }

    /// Processes of this machine end with their engine.
    fn abandon(self: Box<Self>) {
        self.stop();
    }
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        self.end();
    }
}

fn read(messages: impl io::Read, sink: &dyn Fn(ExecutorMessage)) -> Option<io::Error> {
    let mut messages = Frames::new(messages);
    loop {
        match messages.next(decode_message) {
            Ok(Some(message)) => sink(ExecutorMessage::Job(message)),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Waits for the supervisor; says how it ended.
fn ended(child: &mut Child, error: Option<io::Error>) -> String {
    if error.is_some() {
        // Its messages cannot be read; nothing it does can count any more.
        let _ = child.kill();
    }
    let status = child.wait();
    match (error, status) {
        (Some(error), _) => format!("the supervisor's messages cannot be read: {error}"),
        (None, Ok(status)) => format!("the supervisor ended: {status}"),
        (None, Err(error)) => format!("the supervisor ended: {error}"),
    }
}

/// A mark that no other supervisor has; it starts as all marks of its run do.
fn new_mark(store: &Path, run: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}{}_{}_", mark_of(store, run), std::process::id(), since.as_nanos())
}

/// How the marks of all processes of a run start, whichever engine started them. A copy of a store
/// has the same runs, and nothing to do with the processes of the other one.
fn mark_of(store: &Path, run: &str) -> String {
    let place = std::fs::metadata(store).map_or((0, 0), |folder| (folder.dev(), folder.ino()));
    format!("tidegate_{:x}.{:x}_{run}_", place.0, place.1)
}

/// Ends what an engine left behind that died together with its supervisor, before its run goes on.
pub fn end_leftovers(store: &Path, run: &str) {
    end_orphans(&mark_of(store, run));
}

/// Ends every process that carries a mark starting so, and what came to this process as an orphan of
/// one: a child in a process group of its own that nobody here started.
pub fn end_orphans(mark: &str) {
    let own = std::process::id();
    let group = u32::try_from(getpgrp().as_raw_nonzero().get()).unwrap_or(0);
    for round in 0..500_u64 {
        let table = processes();
        let mut found: BTreeSet<u32> = table
            .values()
            .filter(|p| p.pid != own)
            .filter(|p| {
                (p.parent == own && p.group != group && !is_no_orphan(p.pid, mark))
                    || has_mark(p.pid, mark, false)
            })
            .map(|p| p.pid)
            .collect();
        below(&table, &mut found);
        let mut alive = false;
        for process in found.iter().filter_map(|pid| table.get(pid)) {
            if process.zombie {
                if process.parent == own {
                    reap(process.pid);
                }
            } else {
                alive = true;
                signal(process.pid, Signal::KILL);
            }
        }
        if !alive {
            return;
        }
        std::thread::sleep(Duration::from_millis(round.min(20)));
    }
}

/// Another executor's supervisor, or what is about to become one: between fork and exec a process has its parent's command
/// line. So does what the supervisor of this mark forked last: that is an orphan, and about to become a step.
fn is_no_orphan(pid: u32, mark: &str) -> bool {
    let read = |whose: &str| std::fs::read(format!("/proc/{whose}/cmdline")).unwrap_or_default();
    let line = read(&pid.to_string());
    let mut words = line.split(|b| *b == 0);
    let of_this_mark = line.split(|b| *b == 0).any(|word| word.starts_with(mark.as_bytes()));
    (words.any(|word| word == b"--supervise") && !of_this_mark) || line == read("self")
}

/// The name of the variable that carries the mark.
pub const MARK_VARIABLE: &str = MARK;
