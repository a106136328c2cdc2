//! Which Python of this machine a job gets.

use super::{Call, PythonError, Ran, Runner};
use std::path::{Path, PathBuf};

/// A Python of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The program itself, shims and links followed.
    pub program: PathBuf,
    /// Such as `3.11.7`.
    pub version: String,
    /// Such as `linux-x86_64`.
    pub platform: String,
}

/// What an interpreter is asked to say of itself, a line each.
const QUESTION: &str = "import sys, sysconfig, platform; print('python:' + (getattr(sys, '_base_executable', None) or \
     sys.executable)); print('python:' + platform.python_version()); print('python:' + \
     sysconfig.get_platform())";

impl Interpreter {
    /// Finds one whose version starts with `wanted` (`3`, `3.11`, `3.11.7`); empty: any Python 3.
    pub fn find(wanted: &str, folder: &Path, runner: &mut dyn Runner) -> Result<Self, PythonError> {
        let major_minor: Vec<&str> = wanted.split('.').take(2).collect();
        let mut names = vec!["python3".to_owned(), "python".to_owned()];
        if !wanted.is_empty() {
            names.insert(0, format!("python{}", major_minor.join(".")));
        }
        let mut others = Vec::new();
        for name in names {
            match Self::ask(&name, folder, runner)? {
                Some(found) if fits(wanted, &found.version) => return Ok(found),
                Some(found) => others.push(found.version),
                None => {}
            }
        }
        others.dedup();
        let found =
            if others.is_empty() { String::new() } else { format!("; there is {}", others.join(" and ")) };
        let wanted = if wanted.is_empty() { "3 ".to_owned() } else { format!("{wanted} ") };
        Err(PythonError::NoInterpreter { wanted, found })
    }

    fn ask(name: &str, folder: &Path, runner: &mut dyn Runner) -> Result<Option<Self>, PythonError> {
        let args = ["-I", "-c", QUESTION].map(Into::into).to_vec();
        let call = Call { program: name.into(), args, folder: folder.to_owned() };
        let text = match runner.run(&call, false) {
            Ran::Good(text) => text,
            Ran::Bad(_) => return Ok(None),
            Ran::Stopped => return Err(PythonError::Stopped),
        };
        // Whatever else it prints, such as warnings, is not meant.
        let mut lines = text.lines().filter_map(|l| l.strip_prefix("python:")).map(str::to_owned);
        let (Some(program), Some(version), Some(platform)) = (lines.next(), lines.next(), lines.next())
        else {
            return Ok(None);
        };
        Ok(Some(Self { program: program.into(), version, platform }))
    }
}

/// Tells whether a version is the wanted one, compared part by part: `3.1` is not `3.11`.
fn fits(wanted: &str, version: &str) -> bool {
    let mut have = version.split('.');
    if wanted.is_empty() {
        return have.next() == Some("3");
    }
    wanted.split('.').all(|part| part == "x" || part == "*" || have.next() == Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        assert!(fits("3.11", "3.11.7") && fits("3", "3.9.1") && fits("", "3.12.0") && fits("3.x", "3.9"));
        assert!(!fits("3.1", "3.11.7") && !fits("", "2.7.18") && !fits("3.11.7.1", "3.11.7"));
    }

    #[test]
    fn a_version_nobody_has_is_told_with_what_there_is() {
        let found = Interpreter::find("3.99", Path::new("/"), &mut super::super::runner::Plain);
        let message = found.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.starts_with("no Python 3.99 is on PATH"), "{message}");
    }
}
