//! How programs are run while an environment is made: the room says which, others start them.

use std::ffi::OsString;
use std::path::PathBuf;

/// Variables that would lead a Python to somebody else's packages.
pub const FOREIGN: [&str; 4] = ["PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"];

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// A name to look for along `PATH`, or an absolute path.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<OsString>,
    /// Where it runs.
    pub folder: PathBuf,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// With 0; the end of what it printed.
    Good(String),
    /// Otherwise; the end of what it printed, or why it could not be started.
    Bad(String),
    /// The attempt is told to stop: nothing more is to be done.
    Stopped,
}

/// Runs programs for this room. [`FOREIGN`] variables are not handed on; input is empty.
pub trait Runner {
    /// Runs a program to its end. `shown`: what it prints belongs into the job's log.
    fn run(&mut self, call: &Call, shown: bool) -> Ran;
    /// Tells the job's log something.
    fn tell(&mut self, text: &str);
    /// Waits a moment; tells whether to go on.
    fn pause(&mut self) -> bool;
}

/// A runner that starts programs itself.
#[cfg(test)]
pub struct Plain;

#[cfg(test)]
impl Runner for Plain {
    fn run(&mut self, call: &Call, _shown: bool) -> Ran {
        let mut command = std::process::Command::new(&call.program);
        for name in FOREIGN {
            command.env_remove(name);
        }
        match command.args(&call.args).current_dir(&call.folder).output() {
            Err(error) => Ran::Bad(error.to_string()),
            Ok(said) => {
                let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
                if said.status.success() { Ran::Good(text) } else { Ran::Bad(text) }
            }
        }
    }

    fn tell(&mut self, _text: &str) {}

    fn pause(&mut self) -> bool {
        std::thread::sleep(std::time::Duration::from_millis(5));
        true
    }
}
