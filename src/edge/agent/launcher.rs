//! Where the processes of steps are: beside the agent, or in another container.
//!
//! Not here: watching a process to its end (`process`), which ones belong to an attempt (`children`).

use super::children::{Children, signal_all};
use super::control::Wish;
use super::process::Program;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// Variables that processes inherit.
pub type Environment = BTreeMap<OsString, OsString>;

/// Starts programs and ends what they leave behind.
pub trait Launcher: Send + Sync {
    /// Counts an attempt that starts.
    fn enter(&self);
    /// Counts an attempt that ended.
    fn leave(&self);
    /// Goes to where a step runs; returns the environment there if that is another place than before. Waits until more
    /// than `patience` is wanted of the attempt; the same may be asked again then.
    fn reach(&self, _step: u32, _patience: Wish) -> io::Result<Option<Environment>> {
        Ok(None)
    }
    /// Finds a program as a shell would: a path stands for itself, a name is looked for along `path`.
    fn find(&self, name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf>;
    /// Tells whether there is such a folder to work in.
    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
    /// Starts a program; stdout and stderr come out of one pipe, which does not block.
    fn start(&self, program: &Program<'_>) -> io::Result<(Box<dyn Running>, PipeReader)>;
    /// Tells whether processes may be left that no attempt started on purpose.
    fn has_strays(&self) -> bool;
    /// Tells whether a process is left that does not say which attempt it is of.
    fn has_unmarked(&self) -> bool;
    /// Ends what an attempt left behind; returns the names of what was ended. `mark` is the whole
    /// value of the mark, or its start.
    fn clean(&self, mark: &str, whole: bool) -> Vec<String>;
}

/// A started program.
pub trait Running {
    /// Becomes readable when the program ended; `None`: it has to be looked for.
    fn ended(&self) -> Option<BorrowedFd<'_>>;
    /// Returns how it ended, if it has. An error means that nobody will ever know.
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>>;
    /// Sends a signal to the program, to what it started, and to what carries the mark.
    fn signal(&self, mark: &str, signal: Signal);
    /// Tells whether the kernel killed it, or something beside it, for memory. Asked once, after the end.
    fn killed_for_memory(&self) -> bool;
}

impl Launcher for Arc<Children> {
    fn enter(&self) {
        Children::enter(self);
    }

    fn leave(&self) {
        Children::leave(self);
    }

    fn find(&self, name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
        find(name, path, directory)
    }

    fn start(&self, program: &Program<'_>) -> io::Result<(Box<dyn Running>, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        Ok((Box::new(spawn(self, program, writer.as_fd())?), reader))
    }

    fn has_strays(&self) -> bool {
        Children::has_strays(self)
    }

    fn has_unmarked(&self) -> bool {
        Children::has_unmarked(self)
    }

    fn clean(&self, mark: &str, whole: bool) -> Vec<String> {
        Children::clean(self, mark, whole)
    }
}

/// Starts a program as a child of this process; its output goes to `output`.
pub(super) fn spawn(
    children: &Arc<Children>,
    program: &Program<'_>,
    output: BorrowedFd<'_>,
) -> io::Result<Here> {
    let mut command = Command::new(program.path);
    command
        .args(program.args)
        .current_dir(program.directory)
        .env_clear()
        .envs(program.env)
        .stdin(Stdio::null())
        .stdout(output.try_clone_to_owned()?)
        .stderr(output.try_clone_to_owned()?)
        .process_group(0);
    let child = Children::start(children, &mut command)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    Ok(Here { child, pidfd, children: children.clone() })
}

/// A child of this process.
pub(super) struct Here {
    child: Child,
    pidfd: Option<OwnedFd>,
    children: Arc<Children>,
}

impl Running for Here {
    fn ended(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    fn signal(&self, mark: &str, signal: Signal) {
        signal_all(self.child.id(), mark, signal);
    }

    fn killed_for_memory(&self) -> bool {
        super::oom::killed_for_memory()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.children.reaped(self.child.id());
    }
}

/// Finds a program as a shell would: a path stands for itself, a name is looked for along `path`.
pub fn find(name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    let runs = |p: &Path| p.is_file() && access(p, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        let whole = directory.join(name);
        return runs(&whole).then_some(whole);
    }
    std::env::split_paths(path).map(|folder| directory.join(folder).join(name)).find(|p| runs(p))
}
