//! What every command can be told, and the one door to standard output.

use super::Failure;
use crate::app::config::Project;
use crate::app::report::terminal::quoted;
use clap::ValueEnum;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Globals {
    /// Work as if started in this folder
    #[arg(short = 'C', long = "directory", global = true, value_name = "DIR", hide_short_help = true)]
    pub directory: Option<PathBuf>,
    /// Where runs and artifacts are kept [default: .tidegate in the project]
    #[arg(long, global = true, value_name = "DIR", env = "TIDEGATE_STORE", hide_short_help = true)]
    pub store: Option<PathBuf>,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_short_help = true
    )]
    pub color: ColorChoice,
    /// Somebody reads this from outside of the pod: end with standard input, and add this to commands
    #[arg(long, global = true, value_name = "OPTIONS", hide = true, allow_hyphen_values = true)]
    pub attached: Option<String>,
    /// Where the person stands, if `--directory` led away from there.
    #[arg(skip)]
    pub started: Option<PathBuf>,
}

impl Globals {
    /// Writes to standard output. Nobody reading any more (`| head`) is no error.
    pub fn print(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.print_bytes(text.as_ref().as_bytes())
    }

    /// Writes bytes, such as a log, to standard output, like [`Globals::print`].
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::tool("cannot write to standard output").caused_by(&error))
            }
            _ => Ok(()),
        }
    }

    /// Writes to standard error; what cannot be said there cannot be said at all.
    pub fn warn(&self, text: impl AsRef<str>) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_ref().as_bytes()).and_then(|()| err.flush());
    }

    /// Tells whether standard output gets colours.
    pub fn color(&self) -> bool {
        self.colored(|| io::stdout().is_terminal())
    }

    /// Tells whether standard error gets colours.
    pub fn color_errors(&self) -> bool {
        self.colored(|| io::stderr().is_terminal())
    }

    /// Returns how many columns standard output has; `None` where it is no terminal.
    pub fn width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0).then(|| usize::from(size.ws_col))
    }

    /// Returns how a next command starts where the person stands: with `-C DIR` where the project
    /// is another one than that of the current folder, with `--store` where that was given.
    pub fn program(&self, project: &Project) -> String {
        if self.attached.is_some() {
            return "tidegate".to_owned();
        }
        let stands = self.started.clone().or_else(|| std::env::current_dir().ok());
        let found = stands.as_deref().and_then(|folder| Project::find(folder, None).ok());
        let mut program = "tidegate".to_owned();
        if found.is_none_or(|found| found.root != project.root) {
            let relative = stands.as_deref().and_then(|folder| project.root.strip_prefix(folder).ok());
            let folder = relative.unwrap_or(&project.root).to_string_lossy();
            program.push_str(&format!(" -C {}", quoted(&folder)));
        }
        if std::env::var_os("TIDEGATE_STORE").is_none()
            && let Some(store) = &self.store
        {
            let store = std::path::absolute(store).unwrap_or_else(|_| store.clone());
            program.push_str(&format!(" --store {}", quoted(&store.to_string_lossy())));
        }
        program
    }

    /// Returns what a next command ends with, where the person stands: the way to the engine in a cluster.
    pub fn elsewhere(&self) -> String {
        self.attached.as_ref().map_or_else(String::new, |options| format!(" {options}"))
    }

    fn colored(&self, terminal: impl Fn() -> bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // https://no-color.org: any non-empty value
            ColorChoice::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
                    && terminal()
            }
        }
    }
}
