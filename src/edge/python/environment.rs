//! Virtual environments by what is in them.

use super::{Interpreter, PythonError};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
#[derive(Clone, Debug)]
pub struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Keeps environments below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the environment of a job and builds it if it is not there. Others that want the same
    /// one meanwhile wait for it, in this process and in others.
    pub fn prepare(&self, spec: &PythonSpec, project: &Path) -> Result<Environment, PythonError> {
        let interpreter = Interpreter::find(&spec.version)?;
        let key = key(spec, project, &interpreter)?;
        let folder = self.folder.join(&key);
        let ready = folder.join("ready");
        if !ready.exists() {
            let io = |source| PythonError::Io { path: folder.display().to_string(), source };
            fs::create_dir_all(&self.folder).map_err(io)?;
            let lock = File::create(self.folder.join(format!("{key}.lock"))).map_err(io)?;
            lock.lock().map_err(io)?;
            if !ready.exists() {
                // What lies there was left half built.
                match fs::remove_dir_all(&folder) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
                    _ => {}
                }
                build(&folder, spec, project, &interpreter)?;
                fs::write(&ready, &interpreter.version).map_err(io)?;
            }
        }
        Ok(Environment {
            bin: folder.join("bin"),
            env: vec![("VIRTUAL_ENV".to_owned(), folder.to_string_lossy().into_owned())],
        })
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

fn build(folder: &Path, spec: &PythonSpec, project: &Path, python: &Interpreter) -> Result<(), PythonError> {
    let bare = spec.requirements.is_empty() && spec.packages.is_empty();
    let mut venv = Command::new(&python.program);
    venv.args(["-I", "-m", "venv"]);
    if bare {
        venv.arg("--without-pip");
    }
    venv.arg(folder);
    run(venv, project, "making a Python environment")?;
    if bare {
        return Ok(());
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    if !spec.requirements.is_empty() {
        pip.arg("--requirement").arg(&spec.requirements);
    }
    // Everything after `--` is a requirement, whatever it starts with.
    pip.arg("--").args(&spec.packages);
    let what = if spec.requirements.is_empty() { "packages" } else { &spec.requirements };
    run(pip, project, &format!("installing {what}"))
}

fn run(mut command: Command, project: &Path, doing: &str) -> Result<(), PythonError> {
    for name in ["PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"] {
        command.env_remove(name);
    }
    let said = command.current_dir(project).stdin(Stdio::null()).output();
    let failed = |output: String| PythonError::Failed { doing: doing.to_owned(), output };
    let said = said.map_err(|e| failed(e.to_string()))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    Err(failed(lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_built_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let all = Environments::new(folder.path().join("python"));
        let first = all.prepare(&PythonSpec::default(), folder.path()).unwrap();
        let marker = first.bin.join("marker");
        fs::write(&marker, "").unwrap();
        assert_eq!(all.prepare(&PythonSpec::default(), folder.path()).unwrap(), first);
        assert!(marker.exists() && first.bin.join("python").exists());
        fs::remove_file(first.bin.parent().unwrap().join("ready")).unwrap();
        all.prepare(&PythonSpec::default(), folder.path()).unwrap();
        assert!(!marker.exists(), "what was half built is built anew");
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
        let message = all.prepare(&spec, folder.path()).unwrap_err().to_string();
        assert!(message.starts_with("installing packages failed:\n"), "{message}");
    }
}
