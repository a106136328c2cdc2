//! `run`: a script in a shell, with its command files.

use super::children::MARK;
use super::control::Wish;
use super::fence::{Fence, handle, kind_of};
use super::job::{Job, class_of};
use super::keep::stamp_of;
use super::process::{Cause, Exit, Limits, Program, run};
use super::scope::{Failed, Scope};
use super::shell::Shell;
use super::step::{LAST_STEPS, Tried};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tidegate_flow::job::{
    Answer, CommandFileError, FailureClass, Question, SUMMARY_LIMIT, StepMemory, oom_advice, parse_metrics,
    parse_pairs, parse_paths,
};

/// The command files of one step: variable and what the file's name ends with.
const FILES: [(&str, &str); 6] = [
    ("GITHUB_OUTPUT", "output"),
    ("GITHUB_ENV", "env"),
    ("GITHUB_PATH", "path"),
    ("GITHUB_STATE", "state"),
    ("GITHUB_STEP_SUMMARY", "summary"),
    ("ML_METRICS", "metrics"),
];
/// Larger command files are refused: they would have to fit into memory several times over.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

impl Job<'_> {
    /// Runs a script to its end and takes over what it wrote to its command files.
    pub(super) fn run_script(
        &mut self,
        scope: &Scope,
        env: &[(String, String)],
        (script, shell, directory): (&str, Option<&str>, Option<&str>),
        deadline: Option<Instant>,
        limit: Option<Duration>,
    ) -> Tried {
        match self.script(scope, env, (script, shell, directory), deadline, limit) {
            Ok(tried) => tried,
            Err(failed) => Tried::failed(failed),
        }
    }

    fn script(
        &mut self,
        scope: &Scope,
        env: &[(String, String)],
        (script, shell, directory): (&str, Option<&str>, Option<&str>),
        deadline: Option<Instant>,
        limit: Option<Duration>,
    ) -> Result<Tried, Failed> {
        let script = self.text(script, scope, env)?;
        let default = |of: &Option<String>| if scope.depth == 0 { of.clone() } else { None };
        let shell = shell.map(str::to_owned).or_else(|| default(&self.spec.shell)).unwrap_or_default();
        let shell = self.text(&shell, scope, env)?;
        let how = Shell::from_name(&shell).map_err(|e| Failed::user(e.to_string()))?;
        let directory = directory
            .map(str::to_owned)
            .or_else(|| default(&self.spec.working_directory))
            .unwrap_or_default();
        let directory = self.place.project.join(self.text(&directory, scope, env)?);
        if !self.around.launcher.is_folder(&directory) {
            return Err(Failed::user(format!(
                "the working directory {} does not exist",
                directory.display()
            )));
        }
        self.files += 1;
        let number = self.files;
        let mut variables = self.variables(scope, env);
        let files = self.make_files(number, &mut variables).map_err(|e| io("command files", &e))?;
        let path = variables.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
        let program =
            how.programs.iter().find_map(|p| self.around.launcher.find(p, &path, &directory)).ok_or_else(
                || {
                    let tried = how.programs.join("` or `");
                    Failed::user(format!("the shell `{tried}` is not installed (looked along PATH)"))
                },
            )?;
        let file = self.temp.join("_temp").join(format!("{number}{}", how.extension));
        let text = format!("{}{}{}", how.before, script.replace("\r\n", "\n"), how.after);
        let written = if number == 1 && !self.fence.stands() {
            self.folder.write_script(&file, text.as_bytes())
        } else {
            self.fence.write(&file, text.as_bytes())
        };
        written.map_err(|e| io("script", &e))?;
        let name = file.to_string_lossy();
        let args: Vec<OsString> = how.args.iter().map(|a| a.replace("{0}", &name).into()).collect();
        let program = Program { path: &program, args: &args, directory: &directory, env: &variables };
        let exit = self.watch(&program, deadline)?;
        // A pass with held-back output must be over before masks and outputs of this step are taken.
        let mut tried = self.judge(exit, deadline, limit, scope.top);
        if let Err(wrong) = self.take_files(&files, &mut tried) {
            tried.failed.get_or_insert(wrong);
        }
        Ok(tried)
    }

    fn watch(&mut self, program: &Program<'_>, deadline: Option<Instant>) -> Result<Exit, Failed> {
        let mark = self.mark.clone();
        let limits = Limits {
            deadline: [deadline, self.deadline].into_iter().flatten().min(),
            grace: Duration::try_from_secs_f64(self.spec.grace_seconds.max(0.0))
                .unwrap_or(Duration::from_secs(10)),
            patience: self.patience.min(Wish::Cancel),
            mark: &mark,
        };
        let control = self.link.control.clone();
        let output = &mut self.output;
        let exit =
            run(program, &*self.around.launcher, &control, &limits, &mut self.lingering, &mut |bytes| {
                output.take(bytes)
            });
        exit.map_err(|e| {
            if e.kind() == std::io::ErrorKind::ConnectionAborted {
                return self.death();
            }
            let mut failed = io(&format!("program {}", program.path.display()), &e);
            if e.raw_os_error() == Some(7) {
                failed.reason.push_str(" (the environment is too large)");
            }
            failed
        })
    }

    /// Why the container of the steps ended under a running step.
    fn death(&self) -> Failed {
        match self.link.ask(Question::Death) {
            Some(Answer::Death { class, exit, reason }) => Failed { class, exit, reason, step: None },
            _ => Failed::new(FailureClass::Lost, "the container of the steps ended"),
        }
    }

    fn judge(&mut self, exit: Exit, deadline: Option<Instant>, limit: Option<Duration>, step: u32) -> Tried {
        let code = exit.code();
        let mut tried = Tried { exit: Some(code), ..Tried::default() };
        match exit.cause {
            Cause::Cancel => {
                tried.cancelled = true;
                tried.failed = Some(Failed::user(format!("cancelled: {}", self.link.control.reason())));
            }
            Cause::Timeout => {
                let own = deadline.is_some() && (self.deadline.is_none() || deadline <= self.deadline);
                let job = || self.spec.timeout_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
                let (after, whose) = match (own, self.timed_out) {
                    (true, _) => (limit, ""),
                    (false, false) => (job(), " (timeout-minutes of the job)"),
                    (false, true) => (Some(LAST_STEPS), " (what steps have after the end of the job's time)"),
                };
                if !own && !self.timed_out {
                    self.time_is_up();
                }
                let seconds = after.map_or(0.0, |d| d.as_secs_f64());
                tried.failed =
                    Some(Failed::new(FailureClass::Timeout, format!("timed out after {seconds} s{whose}")));
            }
            Cause::Own if code != 0 => {
                let signal = exit.status.signal();
                let memory = exit.memory;
                let class = if memory {
                    FailureClass::Oom
                } else if self.output.speaks_of_full_disk() {
                    FailureClass::Disk
                } else {
                    FailureClass::Failure
                };
                let reason = match (memory, signal) {
                    (true, _) => {
                        let own = StepMemory::around(self.spec, step);
                        format!("killed for memory (exit {code}); {}", oom_advice(own.as_ref()))
                    }
                    (_, Some(signal)) => format!("killed by signal {signal} (exit {code})"),
                    _ => format!("exit {code}"),
                };
                tried.failed = Some(Failed { class, exit: Some(code), reason, step: None });
            }
            Cause::Own => {}
        }
        if let Some(failed) = &mut tried.failed {
            failed.exit = Some(code);
        }
        tried
    }

    /// The whole environment of a step's process.
    fn variables(&self, scope: &Scope, env: &[(String, String)]) -> BTreeMap<OsString, OsString> {
        let mut variables = self.base.clone();
        // GitHub's own names win over what a workflow writes under them.
        for (name, value) in self.env.iter().chain(&self.added_env).chain(&scope.env).chain(env) {
            let upper = name.to_ascii_uppercase();
            let own = upper.starts_with("GITHUB_") || upper.starts_with("RUNNER_");
            if name.is_empty()
                || name.contains(['=', '\0'])
                || (own && self.base.contains_key(&OsString::from(name)))
            {
                continue;
            }
            let value = value.replace('\0', "");
            variables.insert(name.into(), value.into());
        }
        variables.insert("GITHUB_ACTION".into(), scope.action.clone().into());
        if let Some(path) = &scope.action_path {
            variables.insert("GITHUB_ACTION_PATH".into(), path.into());
        }
        if !self.added_paths.is_empty() {
            let old = variables.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
            let mut path = OsString::from(self.added_paths.join(":"));
            if !old.is_empty() {
                path.push(":");
                path.push(old);
            }
            variables.insert("PATH".into(), path);
        }
        variables.insert(MARK.into(), self.mark.clone().into());
        variables
    }

    fn make_files(
        &mut self,
        number: u32,
        variables: &mut BTreeMap<OsString, OsString>,
    ) -> std::io::Result<[PathBuf; 6]> {
        let path = |ending: &str| self.temp.join(format!("{number}_{ending}"));
        let files = FILES.map(|(_, ending)| path(ending));
        let mut made = Vec::with_capacity(FILES.len());
        let there = number == 1 && self.folder.fresh.is_some();
        for ((variable, _), file) in FILES.iter().zip(&files) {
            if !there {
                self.fence.create(file)?;
                made.extend(stamp_of(file).filter(|_| number == 1).map(|stamp| (file.clone(), stamp)));
            }
            variables.insert((*variable).into(), file.into());
        }
        if number == 1 && !there {
            self.folder.fresh = Some(made);
        }
        if let Some(event) = self.spec.contexts.get("github").and_then(|g| g.get("event")) {
            if number == 1 {
                self.folder.write_event(event.to_string())?;
            }
            variables.insert("GITHUB_EVENT_PATH".into(), self.event_path().into());
        }
        Ok(files)
    }

    /// Takes over what the step wrote to its command files, and what its workflow commands asked for.
    fn take_files(&mut self, files: &[PathBuf; 6], tried: &mut Tried) -> Result<(), Failed> {
        let effects = std::mem::take(&mut self.output.effects);
        let [output, env, path, _, summary, metrics] = files;
        let mut wrong = effects.error.map(Failed::user);
        self.add_env(effects.env);
        tried.outputs = effects.outputs;
        let mut paths = effects.paths;
        // A file that cannot be taken does not keep the others from it, as at GitHub.
        self.take_file(path, "path", &mut wrong, |_, text| {
            paths.extend(parse_paths(&text));
            None
        });
        for path in paths {
            self.added_paths.retain(|p| *p != path);
            self.added_paths.insert(0, path);
        }
        self.take_file(env, "env", &mut wrong, |job, text| {
            let pairs = parse_pairs(&text);
            job.add_env(pairs.taken);
            pairs.wrong
        });
        self.take_file(summary, "step_summary", &mut wrong, |job, text| {
            job.add_summary(&text);
            None
        });
        self.take_file(output, "output", &mut wrong, |_, text| {
            let pairs = parse_pairs(&text);
            tried.outputs.extend(pairs.taken);
            pairs.wrong
        });
        self.take_file(metrics, "metrics", &mut wrong, |job, text| match parse_metrics(&text) {
            Ok(read) => {
                job.metrics.extend(read);
                None
            }
            Err(wrong) => Some(wrong),
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Reads one command file and hands it on; what is wrong with it is told, and kept if it is the first.
    fn take_file(
        &mut self,
        file: &Path,
        name: &str,
        first: &mut Option<Failed>,
        take: impl FnOnce(&mut Self, Vec<u8>) -> Option<CommandFileError>,
    ) {
        let reason = match read_file(&self.fence, file) {
            Ok(None) => None,
            Ok(Some(text)) => take(self, text).map(|e| e.to_string()),
            Err(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            let text = format!("Unable to process file command '{name}' successfully. {reason}");
            self.output.issue("error", &text);
            first.get_or_insert(Failed::user(text));
        }
    }

    /// Adds a step's summary to the job's; one that is too large is left out whole, as at GitHub.
    fn add_summary(&mut self, text: &[u8]) {
        if text.len() > SUMMARY_LIMIT {
            let (limit, size) = (SUMMARY_LIMIT / 1024, text.len() / 1024);
            self.output.issue("error", &format!("$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of {limit}k, got {size}k."));
        } else if self.summary.len() + text.len() > SUMMARY_LIMIT {
            let limit = SUMMARY_LIMIT / 1024;
            self.output.issue(
                "warning",
                &format!(
                    "This step's summary is left out: those of the job have more than {limit}k together."
                ),
            );
        } else {
            self.summary.push_str(&String::from_utf8_lossy(text));
        }
    }
}

fn io(what: &str, error: &std::io::Error) -> Failed {
    Failed::new(class_of(error), format!("cannot start the step: {what}: {error}"))
}

/// Reads a command file; `None` if nothing was written or the step removed it.
fn read_file(fence: &Fence, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let there = match fence.find_itself(path).and_then(|found| Ok((kind_of(&found)?, found))) {
        Ok((FileType::RegularFile, found)) => found,
        Ok(_) => return Err("it is no longer a plain file".to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let read = || {
        let file = std::fs::File::open(handle(&there))?;
        match file.metadata()?.len() {
            0 => Ok(None),
            n if n > FILE_LIMIT => {
                Err(std::io::Error::other(format!("it has {n} bytes, at most {FILE_LIMIT} are taken")))
            }
            // A background process may still write: what was there at the step's end counts.
            n => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut std::io::Read::take(file, n), &mut bytes)?;
                Ok(Some(bytes))
            }
        }
    };
    read().map_err(|e| e.to_string())
}
