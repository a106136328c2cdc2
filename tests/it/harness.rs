//! A project in a temporary folder, and `tidegate` called in it as a person would.
//!
//! The environment is scrubbed, so that a test sees the same on every machine; in output, the
//! project's folder reads `[PROJECT]`.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A temporary project.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// Makes an empty one: no `.ml`, no repository.
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("tidegate-it-").tempdir().unwrap() }
    }

    /// Makes one whose only workflow is `.ml/workflows/test.yml`.
    pub fn workflow(text: &str) -> Self {
        Self::new().file(".ml/workflows/test.yml", text)
    }

    /// Writes a file, with its folders.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// Like [`Project::file`], later.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes a program, by a process of its own: what this one has written, a child that another test forks meanwhile may
    /// hold open, and then nobody can run it (execve(2), `ETXTBSY`).
    pub fn program(self, path: &str, text: &str) -> Self {
        self.write(&format!("{path}.text"), text);
        self.sh(&format!("cp '{path}.text' '{path}' && chmod 755 '{path}' && rm '{path}.text'"));
        self
    }

    /// Makes it a repository on `main` with everything committed.
    pub fn git(self) -> Self {
        self.sh("git init -q -b main . && git add -A && git commit -q -m first");
        self
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a shell line in the project; it must succeed.
    pub fn sh(&self, line: &str) {
        let done = self.scrubbed("sh").args(["-c", line]).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs a shell line in the project to its end, whatever that is.
    pub fn shell(&self, line: &str) -> Done {
        let done = self.scrubbed("bash").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
        Done {
            code: done.status.code(),
            stdout: self.replaced(&done.stdout),
            stderr: self.replaced(&done.stderr),
        }
    }

    /// Runs `tidegate` to its end.
    pub fn tidegate<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Done {
        self.tidegate_with(args, &[])
    }

    /// Like [`Project::tidegate`] with environment variables.
    pub fn tidegate_with<I, S>(&self, args: I, env: &[(&str, &str)]) -> Done
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = self.scrubbed(binary());
        let done = command.args(args).envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
        Done {
            code: done.status.code(),
            stdout: self.replaced(&done.stdout),
            stderr: self.replaced(&done.stderr),
        }
    }

    /// Starts `tidegate` and does not wait for it.
    pub fn spawn<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Child {
        self.spawn_with(args, &[])
    }

    /// Like [`Project::spawn`] with environment variables.
    pub fn spawn_with<I, S>(&self, args: I, env: &[(&str, &str)]) -> Child
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        // What runs in a shell's background ignores Ctrl-C, and so do its children.
        let mut command = self.scrubbed("env");
        command.arg("--default-signal=INT").arg(binary()).args(args).envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits for what [`Project::spawn`] started.
    pub fn done(&self, child: Child) -> Done {
        let done = child.wait_with_output().unwrap();
        Done {
            code: done.status.code(),
            stdout: self.replaced(&done.stdout),
            stderr: self.replaced(&done.stderr),
        }
    }

    /// Ids of the living processes that have the project's folder in their command line.
    pub fn processes(&self) -> Vec<u32> {
        let folder = self.path().to_str().unwrap().as_bytes().to_owned();
        let ids = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(folder.len()).any(|part| part == folder)
        })
        .collect()
    }

    /// A command in the project with nothing of this machine's environment but `PATH`.
    fn scrubbed(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_COMMITTER_NAME", "Ada");
        command.env("GIT_AUTHOR_EMAIL", "ada@example.com").env("GIT_COMMITTER_EMAIL", "ada@example.com");
        command
    }

    fn replaced(&self, bytes: &[u8]) -> String {
        let real = self.path().canonicalize().unwrap();
        let text = String::from_utf8_lossy(bytes);
        text.replace(&*real.to_string_lossy(), "[PROJECT]")
            .replace(&*self.path().to_string_lossy(), "[PROJECT]")
    }
}

/// Waits until something is there, looking often; panics after two minutes.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tidegate"))
}

/// A command that ended.
#[derive(Debug)]
pub struct Done {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// The exit code must be this.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output must contain this.
    #[track_caller]
    pub fn stdout(self, part: &str) -> Self {
        assert!(
            self.stdout.contains(part),
            "no {part:?} in stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Neither output may contain this.
    #[track_caller]
    pub fn nowhere(self, part: &str) -> Self {
        assert!(!self.stdout.contains(part), "{part:?} in stdout:\n{}", self.stdout);
        assert!(!self.stderr.contains(part), "{part:?} in stderr:\n{}", self.stderr);
        self
    }

    /// Standard error must contain this.
    #[track_caller]
    pub fn stderr(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "no {part:?} in stderr:\n{}\nstdout:\n{}",
            self.stderr,
            self.stdout
        );
        self
    }
}
