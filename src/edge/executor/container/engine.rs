//! Calls of docker or podman.

use crate::agent::{Control, Wish};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most that is kept of what a call says.
const KEPT: usize = 500;

/// Which of the two it is: a few options differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// The command line of a container engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEngine {
    /// The program.
    pub program: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// Why a call did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It said no.
    #[error("{call}: {text}")]
    Failed {
        /// Program and command.
        call: String,
        /// What it said last.
        text: String,
    },
    /// The attempt was told to stop meanwhile.
    #[error("told to stop")]
    Stopped,
    /// It took too long.
    #[error("{call}: no answer in {seconds} s")]
    Slow {
        /// Program and command.
        call: String,
        /// How long was waited.
        seconds: u64,
    },
    /// It cannot be started or heard.
    #[error("{call}: {source}")]
    Io {
        /// Program and command.
        call: String,
        /// What the system said.
        source: io::Error,
    },
    /// What it answered cannot be read.
    #[error("{call}: {source}")]
    Answer {
        /// Program and command.
        call: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// How long a call may take, and who can end it.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// The attempt it is for, and the wish above which it is ended.
    pub(super) attempt: Option<(&'a Control, Wish)>,
    /// The longest time.
    pub(super) time: Duration,
}

impl Bounds<'_> {
    /// Nobody ends it early.
    pub(super) fn minutes(minutes: u64) -> Self {
        Self { attempt: None, time: Duration::from_mins(minutes) }
    }
}

impl ContainerEngine {
    /// Its name for people.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
        }
    }

    /// This process's group as containers number it: where the engine has no root, whoever started it is root in them
    /// (`podman(1)`, "Rootless mode"; Docker, "Rootless mode").
    pub(super) fn group(&self) -> u32 {
        let rootless = match self.kind {
            _ if rustix::process::geteuid().is_root() => false,
            Kind::Podman => true,
            Kind::Docker => self
                .call(&words("info --format {{.SecurityOptions}}"), Bounds::minutes(1))
                .is_ok_and(|said| said.contains("name=rootless")),
        };
        if rootless { 0 } else { rustix::process::getegid().as_raw() }
    }

    /// Calls it; returns its standard output.
    pub(super) fn call(&self, args: &[String], bounds: Bounds<'_>) -> Result<String, CallError> {
        self.both(args, bounds).map(|[said, _]| said)
    }

    /// Calls it; returns its standard output and its standard error.
    pub(super) fn both(&self, args: &[String], bounds: Bounds<'_>) -> Result<[String; 2], CallError> {
        let verb = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
        let call = format!("{} {verb}", self.name());
        let wrong = |source| CallError::Io { call: call.clone(), source };
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(wrong)?;
        let said = child.stdout.take().map(reader).transpose().map_err(wrong)?;
        let complained = child.stderr.take().map(reader).transpose().map_err(wrong)?;
        let status = watch(&mut child, bounds);
        let text = |thread: Option<JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        match status.map_err(wrong)? {
            Watched::Ended(status) => {
                let (said, complained) = (text(said), text(complained));
                if status.success() {
                    return Ok([said, complained]);
                }
                let text = last_words(if complained.trim().is_empty() { &said } else { &complained });
                let text = if text.is_empty() { status.to_string() } else { text };
                Err(CallError::Failed { call, text })
            }
            // Whoever holds the pipes now is not waited for.
            Watched::Stopped => Err(CallError::Stopped),
            Watched::Slow => Err(CallError::Slow { call, seconds: bounds.time.as_secs() }),
        }
    }

    /// Calls it and reads its answer as JSON.
    pub(super) fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        args: &[String],
        bounds: Bounds<'_>,
    ) -> Result<T, CallError> {
        let answer = self.call(args, bounds)?;
        let call = format!("{} {}", self.name(), args.first().map_or("", String::as_str));
        serde_json::from_str(&answer).map_err(|source| CallError::Answer { call, source })
    }

    /// Removes containers, whatever they do; those that are gone already are no error.
    pub(super) fn remove(&self, names: &[String]) -> Result<(), CallError> {
        if names.is_empty() {
            return Ok(());
        }
        let mut args = words("rm --force --volumes");
        if self.kind == Kind::Podman {
            args.extend(words("--time 0 --ignore"));
        }
        args.extend(names.iter().cloned());
        // Podman removes them side by side, and refuses one whose network another still uses.
        match self.call(&args, Bounds::minutes(2)).or_else(|_| self.call(&args, Bounds::minutes(2))) {
            Err(CallError::Failed { text, .. }) if text.to_lowercase().contains("no such container") => {
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// Words of a fixed text.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn reader(mut from: impl Read + Send + 'static) -> io::Result<JoinHandle<String>> {
    std::thread::Builder::new().name("engine's answer".into()).spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

enum Watched {
    Ended(ExitStatus),
    Stopped,
    Slow,
}

fn watch(child: &mut Child, bounds: Bounds<'_>) -> io::Result<Watched> {
    let until = Instant::now() + bounds.time;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Watched::Ended(status));
        }
        let stopped = bounds.attempt.is_some_and(|(control, patience)| control.wish() > patience);
        if stopped || Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(if stopped { Watched::Stopped } else { Watched::Slow });
        }
        let mut fds: Vec<PollFd<'_>> = ended.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let control = bounds.attempt.and_then(|(control, _)| control.fd());
        fds.extend(control.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let pause = if ended.is_some() { 500_000_000 } else { 10_000_000 };
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: pause }));
        if let Some((control, _)) = bounds.attempt {
            control.settle();
        }
    }
}

/// The end of what a call said, in one line, without what every line starts with.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("Error: ").trim_start_matches("docker: "))
        .filter(|line| !line.is_empty() && !line.starts_with("Run 'docker") && !line.starts_with("time=\""))
        .collect();
    let whole = lines.join("; ");
    let from = whole.len().saturating_sub(KEPT);
    let from = (from..=whole.len()).find(|at| whole.is_char_boundary(*at)).unwrap_or_default();
    whole.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> ContainerEngine {
        ContainerEngine { program: "/bin/sh".into(), kind: Kind::Podman }
    }

    #[test]
    fn what_it_says_last_is_the_reason() {
        let line = "echo Error: no such image >&2; exit 125";
        let error = shell().call(&["-c".to_owned(), line.to_owned()], Bounds::minutes(1)).unwrap_err();
        assert!(matches!(&error, CallError::Failed { text, .. } if text == "no such image"), "{error}");
        let answer: Vec<u32> =
            shell().ask(&["-c".to_owned(), "echo [1]".to_owned()], Bounds::minutes(1)).unwrap();
        assert_eq!(answer, [1]);
    }

    #[test]
    fn a_cancel_and_the_end_of_its_time_end_it() {
        let control = Control::new();
        control.ask(Wish::Cancel, "enough");
        let sleep = ["-c".to_owned(), "exec sleep 60".to_owned()];
        let told = Bounds { attempt: Some((&control, Wish::Run)), time: Duration::from_mins(1) };
        assert!(matches!(shell().call(&sleep, told), Err(CallError::Stopped)));
        let short = Bounds { attempt: None, time: Duration::from_millis(50) };
        assert!(matches!(shell().call(&sleep, short), Err(CallError::Slow { .. })));
    }
}
