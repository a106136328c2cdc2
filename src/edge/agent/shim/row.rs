//! The containers of a pod that run steps, one after the other: each is entered when the one before
//! it was told to end.

use super::launch::{Door, ShimLauncher};
use crate::agent::control::{Control, Wish};
use crate::agent::launcher::{Environment, Launcher, Running};
use crate::agent::process::Program;
use std::ffi::OsStr;
use std::io::{self, PipeReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sees to it that the containers of a row come.
pub trait Bring: Send + Sync {
    /// Starts a container: the one before it was told to end.
    fn start(&self, index: usize) -> io::Result<()>;
    /// Looks after a container whose shim has not come yet; an error means that it never will.
    fn look(&self, index: usize) -> io::Result<()>;
}

/// Containers that come by themselves: a kubelet starts them.
#[derive(Clone, Copy, Debug)]
pub struct Brought;

impl Bring for Brought {
    fn start(&self, _index: usize) -> io::Result<()> {
        Ok(())
    }

    fn look(&self, _index: usize) -> io::Result<()> {
        Ok(())
    }
}

/// A row of containers, with the one that runs now.
pub struct Row {
    steps: Vec<Range<u32>>,
    control: Arc<Control>,
    bring: Arc<dyn Bring>,
    here: Mutex<Here>,
}

struct Here {
    index: usize,
    shim: Arc<ShimLauncher>,
    /// Doors of the containers to come, the next one last.
    doors: Vec<Door>,
}

impl Row {
    /// Waits for the first container; `None` if the attempt is told to stop first. `doors` are in the
    /// order of the containers, `steps` says which steps each one runs.
    pub fn enter(
        mut doors: Vec<Door>,
        steps: Vec<Range<u32>>,
        control: &Arc<Control>,
        bring: Arc<dyn Bring>,
    ) -> io::Result<Option<Self>> {
        doors.reverse();
        let Some(first) = doors.pop() else { return Ok(None) };
        bring.start(0)?;
        let Some(shim) = first.shim(control, Wish::Run, &|| bring.look(0))? else { return Ok(None) };
        let here = Mutex::new(Here { index: 0, shim: Arc::new(shim), doors });
        Ok(Some(Self { steps, control: control.clone(), bring, here }))
    }

    /// The environment that the image of the present container gives.
    pub fn environment(&self) -> Environment {
        self.here().shim.environment().clone()
    }

    /// Ends the present container with this code. Those that follow are not needed any more: who asks
    /// has a receipt.
    pub fn finish(&self, code: u8) {
        self.here().shim.finish(code);
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shim(&self) -> Arc<ShimLauncher> {
        self.here().shim.clone()
    }
}

impl Launcher for Arc<Row> {
    fn enter(&self) {}

    fn leave(&self) {}

    fn reach(&self, step: u32) -> io::Result<Option<Environment>> {
        let wanted = self.steps.iter().position(|steps| steps.contains(&step)).unwrap_or_default();
        let mut here = self.here();
        let from = here.index;
        while here.index < wanted {
            let Some(door) = here.doors.pop() else { break };
            // After a failed step, too: a step that always runs may follow.
            here.shim.finish(0);
            let index = here.index + 1;
            self.bring.start(index)?;
            let next = door.shim(&self.control, Wish::Cancel, &|| self.bring.look(index))?;
            let stopped =
                || io::Error::new(io::ErrorKind::Interrupted, "told to stop before the container came");
            here.shim = Arc::new(next.ok_or_else(stopped)?);
            here.index = index;
        }
        Ok((here.index > from).then(|| here.shim.environment().clone()))
    }

    fn find(&self, name: &str, path: &OsStr, directory: &Path) -> Option<PathBuf> {
        self.shim().find(name, path, directory)
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.shim().is_folder(path)
    }

    fn start(&self, program: &Program<'_>) -> io::Result<(Box<dyn Running>, PipeReader)> {
        self.shim().start(program)
    }

    fn has_strays(&self) -> bool {
        self.shim().has_strays()
    }

    fn has_unmarked(&self) -> bool {
        self.shim().has_unmarked()
    }

    fn clean(&self, mark: &str, whole: bool) -> Vec<String> {
        self.shim().clean(mark, whole)
    }
}
