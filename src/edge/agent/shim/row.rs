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
    /// The container that was started last; its shim may not have come yet.
    started: usize,
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
        let here = Mutex::new(Here { index: 0, shim: Arc::new(shim), started: 0, doors });
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

    fn reach(&self, step: u32, patience: Wish) -> io::Result<Option<Environment>> {
        let wanted = self.steps.iter().position(|steps| steps.contains(&step)).unwrap_or_default();
        let mut here = self.here();
        let from = here.index;
        while here.index < wanted {
            let index = here.index + 1;
            if here.started < index && !here.doors.is_empty() {
                // After a failed step, too: a step that always runs may follow.
                here.shim.finish(0);
                self.bring.start(index)?;
                here.started = index;
            }
            let Some(door) = here.doors.last() else { break };
            let next = door.shim(&self.control, patience, &|| self.bring.look(index))?;
            let stopped =
                || io::Error::new(io::ErrorKind::Interrupted, "told to stop before the container came");
            here.shim = Arc::new(next.ok_or_else(stopped)?);
            here.doors.pop();
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

#[cfg(test)]
mod tests {
    use super::super::protocol::{VERSION, Word, say};
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    /// Starts shims that only say who they are; the second one comes when it is looked for a second time, and
    /// somebody asks for a cancel meanwhile.
    struct Late {
        folder: PathBuf,
        control: Arc<Control>,
        came: Mutex<Vec<(usize, UnixStream)>>,
        started: Mutex<Vec<usize>>,
    }

    impl Late {
        fn come(&self, index: usize) {
            let shim = UnixStream::connect(self.folder.join(index.to_string())).unwrap();
            say(&shim, &Word::Hello { version: VERSION, env: Vec::new() }).unwrap();
            self.came.lock().unwrap().push((index, shim));
        }
    }

    impl Bring for Late {
        fn start(&self, index: usize) -> io::Result<()> {
            self.started.lock().unwrap().push(index);
            if index == 0 {
                self.come(0);
            } else {
                self.control.ask(Wish::Cancel, "told so");
            }
            Ok(())
        }

        fn look(&self, index: usize) -> io::Result<()> {
            if self.came.lock().unwrap().iter().all(|(came, _)| *came != index) {
                self.come(index);
            }
            Ok(())
        }
    }

    #[test]
    fn a_container_that_was_not_awaited_can_be_reached_later() {
        let folder = tempfile::tempdir().unwrap();
        let door = |index: usize| Door::open(&Path::new(folder.path()).join(index.to_string())).unwrap();
        let control = Arc::new(Control::new());
        let late = Arc::new(Late {
            folder: folder.path().to_owned(),
            control: control.clone(),
            came: Mutex::default(),
            started: Mutex::default(),
        });
        let row = Row::enter(vec![door(0), door(1)], vec![0..1, 1..3], &control, late.clone());
        let row = Arc::new(row.unwrap().unwrap());
        let error = row.reach(1, Wish::Run).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
        assert!(row.reach(2, Wish::Cancel).unwrap().is_some());
        assert!(row.reach(2, Wish::Cancel).unwrap().is_none());
        assert_eq!(*late.started.lock().unwrap(), [0, 1], "each is started once");
    }
}
