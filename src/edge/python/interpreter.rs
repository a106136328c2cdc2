//! Which Python of this machine a job gets.

use super::PythonError;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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
const QUESTION: &str = "import sys, sysconfig, platform; print(getattr(sys, '_base_executable', None) or \
                        sys.executable); print(platform.python_version()); print(sysconfig.get_platform())";

impl Interpreter {
    /// Finds one whose version starts with `wanted` (`3`, `3.11`, `3.11.7`); empty: any Python 3.
    pub fn find(wanted: &str) -> Result<Self, PythonError> {
        let major_minor: Vec<&str> = wanted.split('.').take(2).collect();
        let mut names = vec!["python3".to_owned(), "python".to_owned()];
        if !wanted.is_empty() {
            names.insert(0, format!("python{}", major_minor.join(".")));
        }
        let mut others = Vec::new();
        for name in names {
            match Self::ask(&name) {
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

    fn ask(name: &str) -> Option<Self> {
        let mut command = Command::new(name);
        command.args(["-I", "-c", QUESTION]).stdin(Stdio::null());
        let said = command.output().ok().filter(|o| o.status.success())?;
        let text = String::from_utf8(said.stdout).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        let (program, version, platform) = (lines.next()?, lines.next()?, lines.next()?);
        Some(Self { program: program.into(), version, platform })
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
        let message = Interpreter::find("3.99").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.starts_with("no Python 3.99 is on PATH"), "{message}");
    }
}
