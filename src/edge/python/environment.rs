//! Virtual environments by what is in them.

use super::{Call, Interpreter, PythonError, Ran, Runner};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tidegate_flow::job::PythonSpec;

/// How many lines of a failed installation are shown.
const LINES: usize = 15;

/// A ready environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Folder of its programs; first on PATH.
    pub bin: PathBuf,
    /// Variables it wants.
    pub env: Vec<(String, String)>,
}

/// All environments of a store.
#[derive(Debug)]
pub struct Environments {
    folder: PathBuf,
    /// Interpreters that were found, by what was wanted: asking one takes longer than a small job.
    known: Mutex<HashMap<String, Interpreter>>,
}

impl Environments {
    /// Keeps environments below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), known: Mutex::default() }
    }

    fn interpreter(
        &self,
        wanted: &str,
        folder: &Path,
        runner: &mut dyn Runner,
    ) -> Result<Interpreter, PythonError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(wanted) {
            return Ok(found.clone());
        }
        let found = Interpreter::find(wanted, folder, runner)?;
        known().insert(wanted.to_owned(), found.clone());
        Ok(found)
    }

    /// Returns the environment of a job and builds it if it is not there. Others that want the same
    /// one meanwhile wait for it, in this process and in others.
    pub fn prepare(
        &self,
        spec: &PythonSpec,
        project: &Path,
        runner: &mut dyn Runner,
    ) -> Result<Environment, PythonError> {
        let interpreter = self.interpreter(&spec.version, project, runner)?;
        let key = key(spec, project, &interpreter)?;
        let folder = self.folder.join(&key);
        let ready = folder.join("ready");
        if !ready.exists() {
            let io = |source| PythonError::Io { path: folder.display().to_string(), source };
            fs::create_dir_all(&self.folder).map_err(io)?;
            let lock = File::create(self.folder.join(format!("{key}.lock"))).map_err(io)?;
            take(&lock, runner).map_err(|e| e.map_or(PythonError::Stopped, io))?;
            if !ready.exists() {
                // What lies there was left half built.
                match fs::remove_dir_all(&folder) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
                    _ => {}
                }
                runner.tell("making the Python environment; it is kept for the next time");
                if let Err(error) = build(&folder, spec, project, (&interpreter, runner)) {
                    // What is half built would only take space.
                    let _ = fs::remove_dir_all(&folder);
                    return Err(error);
                }
                fs::write(&ready, &interpreter.version).map_err(io)?;
            }
        }
        Ok(Environment {
            bin: folder.join("bin"),
            env: vec![("VIRTUAL_ENV".to_owned(), folder.to_string_lossy().into_owned())],
        })
    }
}

/// Takes the builders' lock of an environment, and says so if somebody else has it; `None`: told to stop.
fn take(lock: &File, runner: &mut dyn Runner) -> Result<(), Option<std::io::Error>> {
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Some(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            runner.tell("waiting for the Python environment that another job makes");
        }
        if !runner.pause() {
            return Err(None);
        }
    }
}

/// Names an environment by all that decides what is in it.
fn key(spec: &PythonSpec, project: &Path, interpreter: &Interpreter) -> Result<String, PythonError> {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &[u8]| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    part(interpreter.program.as_os_str().as_encoded_bytes());
    part(interpreter.version.as_bytes());
    part(interpreter.platform.as_bytes());
    if !spec.requirements.is_empty() {
        let mut files = Vec::new();
        requirements(project, Path::new(&spec.requirements), &mut files)?;
        for (_, content) in &files {
            part(content);
        }
    }
    for package in &spec.packages {
        part(package.as_bytes());
    }
    Ok(hasher.finalize().to_hex().chars().take(20).collect())
}

/// Reads a requirements file and those it names by `-r` and `-c`.
fn requirements(folder: &Path, path: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<(), PythonError> {
    let whole = folder.join(path);
    if files.iter().any(|(seen, _)| *seen == whole) {
        return Ok(());
    }
    let content = fs::read(&whole)
        .map_err(|source| PythonError::Requirements { path: path.display().to_string(), source })?;
    let text = String::from_utf8_lossy(&content).into_owned();
    files.push((whole.clone(), content));
    for line in text.lines() {
        let named = ["-r", "-c", "--requirement", "--constraint"].iter().find_map(|option| {
            let rest = line.trim().strip_prefix(option)?;
            let rest = rest.strip_prefix([' ', '=', '\t']).or((option.len() == 2).then_some(rest))?;
            rest.split(" #").next().map(str::trim)
        });
        if let Some(named) = named.filter(|n| !n.is_empty() && !n.contains("://")) {
            requirements(whole.parent().unwrap_or(folder), Path::new(named), files)?;
        }
    }
    Ok(())
}

fn build(
    folder: &Path,
    spec: &PythonSpec,
    project: &Path,
    (python, runner): (&Interpreter, &mut dyn Runner),
) -> Result<(), PythonError> {
    let bare = spec.requirements.is_empty() && spec.packages.is_empty();
    let call = |program: PathBuf, args: Vec<OsString>| Call { program, args, folder: project.to_owned() };
    let mut venv: Vec<OsString> = ["-I", "-m", "venv"].map(Into::into).to_vec();
    if bare {
        venv.push("--without-pip".into());
    }
    venv.push(folder.into());
    run(runner, &call(python.program.clone(), venv), "making a Python environment")?;
    if bare {
        return Ok(());
    }
    let fixed =
        ["-m", "pip", "install", "--progress-bar", "off", "--no-input", "--disable-pip-version-check"];
    let mut pip: Vec<OsString> = fixed.map(Into::into).to_vec();
    if !spec.requirements.is_empty() {
        pip.extend(["--requirement".into(), OsString::from(&spec.requirements)]);
    }
    // Everything after `--` is a requirement, whatever it starts with.
    pip.push("--".into());
    pip.extend(spec.packages.iter().map(OsString::from));
    let what = if spec.requirements.is_empty() { "packages" } else { &spec.requirements };
    run(runner, &call(folder.join("bin/python"), pip), &format!("installing {what}"))
}

fn run(runner: &mut dyn Runner, call: &Call, doing: &str) -> Result<(), PythonError> {
    let text = match runner.run(call, true) {
        Ran::Good(_) => return Ok(()),
        Ran::Bad(text) => text,
        Ran::Stopped => return Err(PythonError::Stopped),
    };
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let output = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n");
    let hint = hint(&text).to_owned();
    Err(PythonError::Failed { doing: doing.to_owned(), hint, output })
}

/// What pip's words mean, where they bury it.
fn hint(text: &str) -> &'static str {
    const NETWORK: [&str; 6] = [
        "NewConnectionError",
        "Temporary failure in name resolution",
        "Name or service not known",
        "Network is unreachable",
        "ConnectTimeoutError",
        "ProxyError",
    ];
    if NETWORK.iter().any(|sign| text.contains(sign)) {
        " (the package index cannot be reached: is this machine offline? an environment that was made before needs no network)"
    } else if text.contains("No module named venv") || text.contains("ensurepip is not available") {
        " (this Python has no venv module: on Debian and Ubuntu it is the package python3-venv)"
    } else if text.contains("No space left on device") {
        " (the disk is full)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::super::runner::Plain;
    use super::*;

    #[test]
    fn an_environment_is_built_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let all = Environments::new(folder.path().join("python"));
        let first = all.prepare(&PythonSpec::default(), folder.path(), &mut Plain).unwrap();
        let marker = first.bin.join("marker");
        fs::write(&marker, "").unwrap();
        assert_eq!(all.prepare(&PythonSpec::default(), folder.path(), &mut Plain).unwrap(), first);
        assert!(marker.exists() && first.bin.join("python").exists());
        fs::remove_file(first.bin.parent().unwrap().join("ready")).unwrap();
        all.prepare(&PythonSpec::default(), folder.path(), &mut Plain).unwrap();
        assert!(!marker.exists(), "what was half built is built anew");
    }

    #[test]
    fn words_of_pip_are_explained() {
        assert!(hint("x NewConnectionError(...) y").contains("offline"));
        assert!(hint("ensurepip is not available").contains("python3-venv"));
        assert_eq!(hint("No matching distribution found for x"), "");
    }

    #[test]
    fn two_builders_make_one_environment() {
        let folder = tempfile::tempdir().unwrap();
        let made: Vec<Environment> = std::thread::scope(|scope| {
            let build = || {
                let all = Environments::new(folder.path().join("python"));
                all.prepare(&PythonSpec::default(), folder.path(), &mut Plain).unwrap()
            };
            let threads = [scope.spawn(build), scope.spawn(build), scope.spawn(build)];
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(made.iter().all(|e| *e == made[0] && e.bin.join("python").exists()));
    }

    #[test]
    fn the_key_follows_every_file_it_depends_on() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let python = Interpreter { program: "p".into(), version: "3".into(), platform: "x".into() };
        let spec = PythonSpec { requirements: "a.txt".to_owned(), ..PythonSpec::default() };
        write("a.txt", "-r b.txt\nx==1\n--constraint=c.txt # why\n");
        write("b.txt", "-r a.txt\n");
        write("c.txt", "y<2\n");
        let first = key(&spec, folder.path(), &python).unwrap();
        write("c.txt", "y<3\n");
        assert_ne!(key(&spec, folder.path(), &python).unwrap(), first);
        fs::remove_file(folder.path().join("b.txt")).unwrap();
        let message = key(&spec, folder.path(), &python).unwrap_err().to_string();
        assert!(message.contains("b.txt"), "{message}");
    }

    #[test]
    fn a_failed_installation_shows_its_last_lines_and_leaves_nothing_ready() {
        let folder = tempfile::tempdir().unwrap();
        let all = Environments::new(folder.path().join("python"));
        let spec = PythonSpec { packages: vec!["not a requirement !".to_owned()], ..PythonSpec::default() };
        let message = all.prepare(&spec, folder.path(), &mut Plain).unwrap_err().to_string();
        assert!(message.starts_with("installing packages failed:\n"), "{message}");
        let left: Vec<_> = fs::read_dir(folder.path().join("python")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }
}
