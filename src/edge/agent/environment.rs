//! `python`: the environment of an attempt, made by programs that a cancel can end.

use super::job::Job;
use super::process::{Cause, Limits, Program, run};
use super::scope::Failed;
use crate::python::{Call, FOREIGN, PythonError, Ran, Runner};
use std::ffi::{OsStr, OsString};
use std::time::Duration;
use tidegate_flow::job::FailureClass;

/// How much of a program's output is kept to say why it failed.
const KEPT: usize = 64 * 1024;

impl Job<'_> {
    /// Makes or finds the job's Python environment and puts it first on `PATH`.
    pub(super) fn set_up_python(&mut self) -> Result<(), Failed> {
        let Some(python) = &self.spec.python else { return Ok(()) };
        let (around, project) = (self.around, self.place.project.clone());
        let made = around.python.prepare(python, &project, self);
        if self.stopping() {
            self.cancelled = true;
        }
        let made = made.map_err(|e| {
            let full = matches!(&e, PythonError::Io { source, .. } if super::job::class_of(source) == FailureClass::Disk)
                || e.to_string().contains("(the disk is full)");
            Failed::new(if full { FailureClass::Disk } else { FailureClass::Failure }, e.to_string())
        })?;
        self.added_paths.push(made.bin.to_string_lossy().into_owned());
        self.base.extend(made.env.into_iter().map(|(k, v)| (OsString::from(k), OsString::from(v))));
        Ok(())
    }
}

impl Runner for Job<'_> {
    fn run(&mut self, call: &Call, shown: bool) -> Ran {
        if self.stopping() {
            return Ran::Stopped;
        }
        let mut variables = self.base.clone();
        for name in FOREIGN {
            variables.remove(OsStr::new(name));
        }
        let path = variables.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let launcher = &*self.around.launcher;
        let Some(program) = launcher.find(&call.program.to_string_lossy(), &path, &call.folder) else {
            return Ran::Bad(format!("{} is not installed", call.program.display()));
        };
        let mark = self.mark.clone();
        let limits = Limits {
            deadline: None,
            grace: Duration::from_secs(2),
            patience: self.link.control.wish(),
            mark: &mark,
        };
        let program = Program { path: &program, args: &call.args, directory: &call.folder, env: &variables };
        let control = self.link.control.clone();
        let (output, mut kept) = (&mut self.output, Vec::new());
        let exit = run(&program, launcher, &control, &limits, &mut self.lingering, &mut |bytes| {
            kept.extend_from_slice(bytes);
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
            if shown { output.take(bytes) } else { Duration::MAX }
        });
        let text = String::from_utf8_lossy(&kept).into_owned();
        match exit {
            Err(error) => Ran::Bad(error.to_string()),
            Ok(exit) if exit.cause == Cause::Cancel => Ran::Stopped,
            Ok(exit) if exit.status.success() => Ran::Good(text),
            Ok(_) => Ran::Bad(text),
        }
    }

    fn tell(&mut self, text: &str) {
        self.output.note(text);
        self.link.flush();
    }

    fn pause(&mut self) -> bool {
        self.link.control.wait(Duration::from_millis(100));
        !self.stopping()
    }
}
