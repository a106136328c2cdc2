//! One process of a step: started, watched, ended.
//!
//! stdout and stderr share one pipe, so output is in order. A step ends when its process exits; what
//! is in the pipe by then is taken, and nobody waits for whoever still holds the other end.

use super::control::{Control, Wish, timespec};
use super::launcher::{Launcher, Running};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// The most that is taken from the pipe after the end: a pipe's largest size, so that a background
/// process that writes for ever cannot keep the step open.
const DRAIN: usize = 1024 * 1024;

/// A program to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// Absolute path: a name would make the standard library fork instead of `posix_spawn`.
    pub path: &'a Path,
    /// Arguments.
    pub args: &'a [OsString],
    /// Working directory.
    pub directory: &'a Path,
    /// The whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
}

/// When and how a process is ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The end of the step's or the job's time.
    pub deadline: Option<Instant>,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// The engine's wish above which the process is ended: a step that runs after a cancel is
    /// ended by a kill only.
    pub patience: Wish,
    /// The mark of the attempt's processes.
    pub mark: &'a str,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What the system says.
    pub status: ExitStatus,
    /// Who ended it.
    pub cause: Cause,
    /// Whether it was killed (exit code 137) and the kernel says that it was for memory.
    pub memory: bool,
}

/// Who ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Itself, or somebody else.
    Own,
    /// Its time was over.
    Timeout,
    /// The engine.
    Cancel,
}

impl Exit {
    /// Returns the exit code; 128 + N for a signal.
    pub fn code(self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// Bytes read at once from a step that prints little, and from one that prints much: a whole pipe.
const LITTLE: usize = 4096;
const MUCH: usize = 64 * 1024;

/// Starts a program and watches it to its end. Pipes that a background process still holds are left
/// in `lingering` and emptied while later steps run, so that such a process never gets SIGPIPE.
pub fn run(
    program: &Program<'_>,
    launcher: &dyn Launcher,
    control: &Control,
    limits: &Limits<'_>,
    lingering: &mut Vec<PipeReader>,
    sink: &mut dyn FnMut(&[u8]) -> Duration,
) -> io::Result<Exit> {
    let (running, reader) = launcher.start(program)?;
    let mut watch = Watch { running, reader, open: true, buffer: vec![0; LITTLE] };
    let mut exit = match watch.run(control, limits, lingering, sink) {
        Ok(exit) => exit,
        Err(error) => {
            // What it said last is worth more than ever.
            watch.drain(sink)?;
            return Err(error);
        }
    };
    exit.memory = exit.code() == 137 && watch.running.killed_for_memory();
    if exit.cause != Cause::Own {
        watch.running.signal(limits.mark, Signal::KILL);
        launcher.clean(limits.mark, true);
    }
    if watch.drain(sink)? {
        lingering.push(watch.reader);
    }
    Ok(exit)
}

struct Watch {
    running: Box<dyn Running>,
    reader: PipeReader,
    open: bool,
    buffer: Vec<u8>,
}

impl Watch {
    fn run(
        &mut self,
        control: &Control,
        limits: &Limits<'_>,
        lingering: &mut Vec<PipeReader>,
        sink: &mut dyn FnMut(&[u8]) -> Duration,
    ) -> io::Result<Exit> {
        let mut cause = Cause::Own;
        let mut kill_at: Option<Instant> = None;
        // A step that takes longer than this is worth a message of its own.
        let mut next_look = Duration::from_millis(20);
        loop {
            let now = Instant::now();
            let wish = control.wish();
            if cause == Cause::Own {
                if wish > limits.patience {
                    cause = Cause::Cancel;
                } else if limits.deadline.is_some_and(|d| now >= d) {
                    cause = Cause::Timeout;
                }
                if cause != Cause::Own {
                    kill_at = Some(now + limits.grace);
                    if wish != Wish::Kill {
                        self.running.signal(limits.mark, Signal::TERM);
                    }
                }
            }
            if kill_at.is_some_and(|k| now >= k) || (wish == Wish::Kill && cause != Cause::Own) {
                self.running.signal(limits.mark, Signal::KILL);
                kill_at = Some(now + Duration::from_millis(200));
            }
            let wake = [kill_at, limits.deadline.filter(|_| cause == Cause::Own)].into_iter().flatten().min();
            let mut wait =
                wake.map_or(Duration::from_hours(1), |w| w.saturating_duration_since(now)).min(next_look);
            if self.running.ended().is_none() {
                wait = wait.min(Duration::from_millis(5));
            }
            let ready = self.wait(control, lingering, wait);
            if ready.woken {
                control.settle();
            }
            empty(lingering, &ready.lingering);
            next_look = if ready.output { self.read(sink)? } else { sink(&[]) };

            if (ready.ended || self.running.ended().is_none())
                && let Some(status) = self.running.try_wait()?
            {
                return Ok(Exit { status, cause, memory: false });
            }
        }
    }

    fn wait(&self, control: &Control, lingering: &[PipeReader], wait: Duration) -> Ready {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3 + lingering.len());
        let mut add = |fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        };
        let ended = self.running.ended().map(&mut add);
        let output = self.open.then(|| add(self.reader.as_fd()));
        let woken = control.fd().map(&mut add);
        let first = lingering.first().map(|r| add(r.as_fd()));
        lingering.iter().skip(1).for_each(|r| {
            add(r.as_fd());
        });
        let _ = poll(&mut fds, Some(&timespec(wait)));
        let is = |at: Option<usize>| at.and_then(|i| fds.get(i)).is_some_and(|f| !f.revents().is_empty());
        Ready {
            ended: is(ended),
            output: is(output),
            woken: is(woken),
            lingering: (0..lingering.len()).map(|i| is(first.map(|f| f + i))).collect(),
        }
    }

    fn read(&mut self, sink: &mut dyn FnMut(&[u8]) -> Duration) -> io::Result<Duration> {
        match self.reader.read(&mut self.buffer) {
            Ok(0) => {
                self.open = false;
                Ok(Duration::MAX)
            }
            Ok(n) => Ok(self.pass_on(n, sink)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(Duration::MAX)
            }
            Err(e) => Err(e),
        }
    }

    /// Gives on what was read. Most steps print little; one that fills the buffer gets a large one.
    fn pass_on(&mut self, read: usize, sink: &mut dyn FnMut(&[u8]) -> Duration) -> Duration {
        let next = sink(self.buffer.get(..read).unwrap_or_default());
        if read == LITTLE {
            self.buffer.resize(MUCH, 0);
        }
        next
    }

    /// Takes what is in the pipe; tells whether somebody still holds the other end.
    fn drain(&mut self, sink: &mut dyn FnMut(&[u8]) -> Duration) -> io::Result<bool> {
        let mut taken = 0;
        while self.open && taken < DRAIN {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => self.open = false,
                Ok(n) => {
                    taken += n;
                    self.pass_on(n, sink);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(self.open)
    }
}

struct Ready {
    ended: bool,
    output: bool,
    woken: bool,
    lingering: Vec<bool>,
}

/// Reads and drops what background processes of earlier steps print; forgets pipes that are closed.
fn empty(lingering: &mut Vec<PipeReader>, ready: &[bool]) {
    if !ready.contains(&true) {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    lingering.retain_mut(|reader| {
        let readable = ready.get(at).copied().unwrap_or(false);
        at += 1;
        !readable || !matches!(reader.read(&mut buffer), Ok(0))
    });
}
