//! The first process of a container of steps: starts programs on an agent's word. Needs nothing of
//! its image: no shell, no libc, no writable root, no user of its own.

use super::protocol::{Bytes, Lines, Order, VERSION, Word, say};
use crate::agent::children::Children;
use crate::agent::control::timespec;
use crate::agent::launcher::{Launcher as _, Running, find, spawn};
use crate::agent::oom;
use crate::agent::process::Program;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, Mode};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a shim cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// No agent listens at the socket.
    #[error("no agent at {path}: {source}")]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// What the system said last.
        source: io::Error,
    },
    /// The agent went away before it said how this container ends.
    #[error("the agent is gone: {0}")]
    AgentGone(io::Error),
}

/// Serves an agent until it says how the container ends; returns the container's exit code.
///
/// Waits at most `patience` for the agent's socket. `leaving` becomes readable when the container is
/// told to end: the agent hears of it, and ends the steps as a cancel does.
pub fn serve(socket: &Path, patience: Duration, leaving: &UnixStream) -> Result<u8, ShimError> {
    // What a step makes, the agent and the steps of other users may change.
    rustix::process::umask(Mode::from_raw_mode(0o002));
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    // It holds the environment of a step, secrets included; other steps run as the same user (prctl(2), PR_SET_DUMPABLE).
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    oom::remember();
    let agent = connect(socket, patience)?;
    let env = std::env::vars_os().filter(|(name, value)| name != "HOME" || is_home(Path::new(value)));
    let env = env.map(|(k, v)| (Bytes::from(k.as_os_str()), Bytes::from(v.as_os_str())));
    say(&agent, &Word::Hello { version: VERSION, env: env.collect() }).map_err(ShimError::AgentGone)?;
    let mut shim = Shim { agent, children: Arc::new(Children::default()), running: None, left: false };
    shim.children.enter();
    let done = shim.orders(leaving);
    // The end of a container's first process ends all others.
    done.map_err(ShimError::AgentGone)
}

/// Tells whether a folder serves this user as home: engines say `/` for one that the image does not know.
fn is_home(folder: &Path) -> bool {
    folder.is_dir() && rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn connect(socket: &Path, patience: Duration) -> Result<UnixStream, ShimError> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(source) if Instant::now() >= until => {
                return Err(ShimError::NoAgent { path: socket.to_owned(), source });
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

struct Shim {
    agent: UnixStream,
    children: Arc<Children>,
    running: Option<Box<dyn Running>>,
    /// The agent knows that the container is to end.
    left: bool,
}

impl Shim {
    fn orders(&mut self, leaving: &UnixStream) -> io::Result<u8> {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (order, ended, leave) = self.wait(leaving);
            if leave {
                self.left = true;
                say(&self.agent, &Word::Leaving)?;
            }
            if ended {
                self.look_after()?;
            }
            if !order {
                continue;
            }
            let read = match (&self.agent).read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            for order in lines.push(buffer.get(..read).unwrap_or_default())? {
                if let Order::Finish { code } = order {
                    return Ok(code);
                }
                self.carry_out(order)?;
            }
        }
    }

    /// Waits; tells whether there is an order, whether the program may have ended, and whether the
    /// container was told to.
    fn wait(&self, leaving: &UnixStream) -> (bool, bool, bool) {
        let mut fds = vec![PollFd::new(&self.agent, PollFlags::IN)];
        if !self.left {
            fds.push(PollFd::new(leaving, PollFlags::IN));
        }
        let program = fds.len();
        let ended = self.running.as_ref().and_then(|r| r.ended());
        if let Some(fd) = &ended {
            fds.push(PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        }
        let blind = self.running.is_some() && ended.is_none();
        let limit = if blind { Duration::from_millis(5) } else { Duration::from_mins(10) };
        let _ = poll(&mut fds, Some(&timespec(limit)));
        let is = |at: usize| fds.get(at).is_some_and(|f| !f.revents().is_empty());
        (is(0), blind || is(program), !self.left && is(1))
    }

    fn look_after(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(status) = running.try_wait()? else { return Ok(()) };
        self.running = None;
        let killed = status.signal() == Some(9) || status.code() == Some(137);
        let memory = killed && oom::killed_for_memory_here();
        say(&self.agent, &Word::Exited { status: status.into_raw(), memory })
    }

    fn carry_out(&mut self, order: Order) -> io::Result<()> {
        let answer = match order {
            Order::Find { name, path, directory } => {
                let name = OsString::from(name);
                let found = find(
                    &name.to_string_lossy(),
                    &OsString::from(path),
                    Path::new(&OsString::from(directory)),
                );
                Word::Found { path: found.map(|p| Bytes::from(p.as_os_str())) }
            }
            Order::Folder { path } => Word::Folder { there: Path::new(&OsString::from(path)).is_dir() },
            Order::Start { program, args, directory, env, output } => {
                let started = self.start(program, args, directory, env, output);
                Word::Started { error: started.err().map(|e| e.raw_os_error().unwrap_or(5)) }
            }
            Order::Signal { mark, signal } => {
                if let (Some(running), Some(signal)) = (&self.running, Signal::from_named_raw(signal)) {
                    running.signal(&mark, signal);
                }
                return Ok(());
            }
            Order::Look => Word::Strays { any: self.children.has_strays() },
            Order::Clean { mark, whole } => Word::Cleaned { names: self.children.clean(&mark, whole) },
            Order::Finish { .. } => return Ok(()),
        };
        say(&self.agent, &answer)
    }

    fn start(
        &mut self,
        program: Bytes,
        args: Vec<Bytes>,
        directory: Bytes,
        env: Vec<(Bytes, Bytes)>,
        output: Bytes,
    ) -> io::Result<()> {
        let output = OpenOptions::new().write(true).open(OsString::from(output))?;
        let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        let env: BTreeMap<OsString, OsString> = env.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let (path, directory) = (OsString::from(program), OsString::from(directory));
        let program =
            Program { path: Path::new(&path), args: &args, directory: Path::new(&directory), env: &env };
        self.running = Some(Box::new(spawn(&self.children, &program, output.as_fd())?));
        Ok(())
    }
}
