//! The agent's end: programs in the container whose shim came to the door.

use super::protocol::{Bytes, Lines, Order, VERSION, Word, say};
use crate::agent::control::{Control, Wish, timespec};
use crate::agent::launcher::{Launcher, Running};
use crate::agent::process::Program;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, mkfifoat, open, openat, unlinkat};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a path that surely fit into a socket's address.
const LONGEST: usize = 100;

/// The socket of one container; its shim is the first that comes.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    folder: Arc<Folder>,
}

/// The folder of the sockets: steps may put another in its place.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    opened: OwnedFd,
}

impl Door {
    /// Opens the socket. Everybody who sees the folder may come, but only once.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let path = socket.parent().unwrap_or(Path::new("/")).to_owned();
        let opened = open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let listener = if socket.as_os_str().len() > LONGEST {
            // A longer path does not fit into an address (unix(7)); one through the folder does.
            let name = socket.file_name().unwrap_or_default();
            UnixListener::bind(Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(name))?
        } else {
            UnixListener::bind(socket)?
        };
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self { listener, folder: Arc::new(Folder { path, opened }) })
    }

    /// Waits for the shim; `None` if more than `patience` is wanted of the attempt first. `look` is
    /// called now and then: an error means that the shim will never come.
    pub fn shim(
        &self,
        control: &Arc<Control>,
        patience: Wish,
        look: &dyn Fn() -> io::Result<()>,
    ) -> io::Result<Option<ShimLauncher>> {
        self.listener.set_nonblocking(true)?;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    return ShimLauncher::new(stream, self.folder.clone(), control.clone()).map(Some);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            if control.wish() > patience {
                return Ok(None);
            }
            let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
            fds.extend(control.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let quiet = matches!(poll(&mut fds, Some(&timespec(Duration::from_secs(1)))), Ok(0));
            // What was asked for and is not enough would end every wait at once.
            control.settle();
            if quiet {
                look()?;
            }
        }
    }
}

/// Programs of one container.
pub struct ShimLauncher {
    shim: Arc<UnixStream>,
    answers: Mutex<Receiver<Word>>,
    ending: Arc<Ending>,
    folder: Arc<Folder>,
    env: BTreeMap<OsString, OsString>,
    number: Mutex<u64>,
}

impl Folder {
    /// Makes a pipe that programs of any user write to, and opens it. A link in its place is not followed.
    fn make_pipe(&self, name: &str) -> io::Result<OwnedFd> {
        let _ = unlinkat(&self.opened, name, AtFlags::empty());
        mkfifoat(&self.opened, name, Mode::from_raw_mode(0o600))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let reader = openat(&self.opened, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&reader)?.st_mode) != FileType::Fifo {
            return Err(io::Error::other(format!("something else was put in the place of the pipe {name}")));
        }
        fchmod(&reader, Mode::from_raw_mode(0o666))?;
        Ok(reader)
    }
}

/// How the running program ended; filled by the reading thread.
#[derive(Debug)]
struct Ending {
    wake: OwnedFd,
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    status: Option<(i32, bool)>,
    lost: bool,
}

impl Ending {
    fn set(&self, change: impl FnOnce(&mut End)) {
        change(&mut self.end.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl ShimLauncher {
    fn new(stream: UnixStream, folder: Arc<Folder>, control: Arc<Control>) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let ending = Arc::new(Ending { wake, end: Mutex::default() });
        let (sender, answers) = channel();
        let shim = Arc::new(stream);
        let (from, told) = (shim.clone(), ending.clone());
        std::thread::Builder::new().name("shim".into()).spawn(move || {
            let mut lines = Lines::default();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let words = match (&*from).read(&mut buffer) {
                    Ok(read) if read > 0 => lines.push(buffer.get(..read).unwrap_or_default()),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    _ => break,
                };
                let Ok(words) = words else { break };
                for word in words {
                    match word {
                        Word::Exited { status, memory } => {
                            told.set(|end| end.status = Some((status, memory)));
                        }
                        Word::Leaving => control.ask(Wish::Cancel, "the pod is being removed"),
                        word => drop(sender.send(word)),
                    }
                }
            }
            told.set(|end| end.lost = true);
        })?;
        let mut made = Self {
            shim,
            answers: Mutex::new(answers),
            ending,
            folder,
            env: BTreeMap::new(),
            number: Mutex::default(),
        };
        match made.answer()? {
            Word::Hello { version: VERSION, env } => {
                made.env = env.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
                Ok(made)
            }
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the shim said {other:?}"))),
        }
    }

    /// The environment of the container's image.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.env
    }

    /// Ends the container with this code.
    pub fn finish(&self, code: u8) {
        let _ = say(&self.shim, &Order::Finish { code });
    }

    fn answer(&self) -> io::Result<Word> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.recv().map_err(|_| gone())
    }

    fn ask(&self, order: &Order) -> io::Result<Word> {
        say(&self.shim, order).map_err(|_| gone())?;
        self.answer()
    }
}

/// The container ended under the agent's hands.
fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the container of the steps ended")
}

impl Launcher for Arc<ShimLauncher> {
    fn enter(&self) {}

    fn leave(&self) {}

    fn find(&self, name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
        let order = Order::Find {
            name: OsStr::new(name).into(),
            path: path.into(),
            directory: directory.as_os_str().into(),
        };
        match self.ask(&order) {
            Ok(Word::Found { path }) => path.map(|p| OsString::from(p).into()),
            _ => None,
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        // Where the container is gone, the start of the program says so.
        !matches!(
            self.ask(&Order::Folder { path: path.as_os_str().into() }),
            Ok(Word::Folder { there: false })
        )
    }

    fn start(&self, program: &Program<'_>) -> io::Result<(Box<dyn Running>, PipeReader)> {
        let number = {
            let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
            *number += 1;
            *number
        };
        let name = format!("output-{number}");
        let reader = self.folder.make_pipe(&name)?;
        self.ending.set(|end| end.status = None);
        let text = |t: &OsString| Bytes::from(t.as_os_str());
        let started = self.ask(&Order::Start {
            program: program.path.as_os_str().into(),
            args: program.args.iter().map(text).collect(),
            directory: program.directory.as_os_str().into(),
            env: program.env.iter().map(|(k, v)| (text(k), text(v))).collect(),
            output: self.folder.path.join(&name).as_os_str().into(),
        });
        let _ = unlinkat(&self.folder.opened, &name, AtFlags::empty());
        match started {
            Ok(Word::Started { error: Some(number) }) => Err(io::Error::from_raw_os_error(number)),
            // A container that died before it could answer may have started the program: what that
            // said is in the pipe.
            Ok(Word::Started { error: None }) | Err(_) => {
                let running = There { shim: self.shim.clone(), ending: self.ending.clone(), memory: false };
                Ok((Box::new(running), PipeReader::from(reader)))
            }
            Ok(other) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the shim said {other:?}"))),
        }
    }

    fn has_strays(&self) -> bool {
        matches!(self.ask(&Order::Look), Ok(Word::Strays { any: true }))
    }

    fn has_unmarked(&self) -> bool {
        // A container runs one attempt: whatever is left is of this one.
        false
    }

    fn clean(&self, mark: &str, whole: bool) -> Vec<String> {
        match self.ask(&Order::Clean { mark: mark.to_owned(), whole }) {
            Ok(Word::Cleaned { names }) => names,
            _ => Vec::new(),
        }
    }
}

/// The program that runs in the container.
struct There {
    shim: Arc<UnixStream>,
    ending: Arc<Ending>,
    memory: bool,
}

impl Running for There {
    fn ended(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ending.wake.as_fd())
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let _ = rustix::io::read(&self.ending.wake, &mut [0_u8; 8]);
        let end = self.ending.end.lock().unwrap_or_else(PoisonError::into_inner);
        match end.status {
            Some((status, memory)) => {
                self.memory = memory;
                Ok(Some(ExitStatus::from_raw(status)))
            }
            None if end.lost => Err(gone()),
            None => Ok(None),
        }
    }

    fn signal(&self, mark: &str, signal: Signal) {
        let _ = say(&self.shim, &Order::Signal { mark: mark.to_owned(), signal: signal.as_raw() });
    }

    fn killed_for_memory(&self) -> bool {
        self.memory
    }
}
