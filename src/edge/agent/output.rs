//! What steps print: split into workflow commands and text, masked, written to the attempt's log.
//!
//! Memory does not grow with the output: only a line that may be a command is held back, and only up
//! to [`LONGEST_COMMAND`]; masking holds back less than one secret.

use super::link::Link;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_flow::job::{
    Admitted, Annotation, CommandGate, MaskStream, Masks, MessageBody, WorkflowCommand, may_be_command,
};

/// A longer line is text, whatever it starts with.
pub const LONGEST_COMMAND: usize = 1024 * 1024;
/// Most bytes that a step's commands may set: like its command files, they are held in memory.
const LARGEST_EFFECTS: usize = 64 * 1024 * 1024;
/// Annotations that are kept of one step and level, and of one job (GitHub's limits).
const ANNOTATIONS_OF_STEP: u32 = 10;
const ANNOTATIONS_OF_JOB: u32 = 50;
/// How much of a log is given back to a full disk.
const ROOM: u64 = 4 * 1024 * 1024;
/// Shortest time between two lines for a live display.
const TAIL_EVERY: Duration = Duration::from_millis(100);
/// A step that runs longer is told of while it runs; a shorter one together with its end.
const ANNOUNCE: Duration = Duration::from_millis(20);
/// Longest line for a live display, in bytes.
const TAIL_LENGTH: usize = 400;
/// How much of the output's end is kept to find out why a step failed.
const RECENT: usize = 4096;

/// Output of an attempt.
pub struct Output {
    link: Arc<Link>,
    path: PathBuf,
    file: Option<File>,
    written: u64,
    failed: Option<io::Error>,
    /// Whether what is written goes to this process's own output, too.
    prints: bool,
    /// What is masked.
    pub masks: Masks,
    stream: MaskStream,
    /// A line that may be a command, as far as it is there.
    line: Vec<u8>,
    /// Whether the rest of the line is text.
    passing: bool,
    gate: CommandGate,
    echo: bool,
    debug: bool,
    trust: Trust,
    /// What paths in annotations are shown relative to.
    workspace: PathBuf,
    /// Annotations kept of this step by level, and of the job.
    annotations: (BTreeMap<String, u32>, u32),
    /// Deprecated commands that were told of in this step.
    told: BTreeSet<String>,
    step: u32,
    masked: Vec<u8>,
    recent: Vec<u8>,
    ends_line: bool,
    tail: Option<String>,
    /// When the engine is told of a step that still runs.
    announce: Option<Instant>,
    tail_next: Option<Instant>,
    /// What commands asked for, to be taken after the step.
    pub effects: Effects,
}

/// What workflow commands of one step asked for.
#[derive(Debug, Default)]
pub struct Effects {
    /// `set-output`.
    pub outputs: Vec<(String, String)>,
    /// `set-env`, where it is allowed.
    pub env: Vec<(String, String)>,
    /// `add-path`, where it is allowed.
    pub paths: Vec<String>,
    /// Why the step fails although its process did not: a command that is not allowed.
    pub error: Option<String>,
    /// Bytes of outputs and variables.
    size: usize,
}

/// What a step's environment opts into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// `ACTIONS_ALLOW_UNSECURE_COMMANDS`: `set-env` and `add-path`.
    pub commands: bool,
    /// `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS`: any stop token.
    pub stop_tokens: bool,
}

impl Output {
    /// Makes the output of an attempt; the log's file is made with its first byte.
    pub fn new(link: Arc<Link>, path: PathBuf, masks: Masks, debug: bool) -> Self {
        let stream = MaskStream::new(&masks);
        Self {
            link,
            path,
            file: None,
            written: 0,
            failed: None,
            prints: false,
            masks,
            stream,
            line: Vec::new(),
            passing: false,
            gate: CommandGate::default(),
            echo: false,
            debug,
            trust: Trust::default(),
            workspace: PathBuf::new(),
            annotations: (BTreeMap::new(), 0),
            told: BTreeSet::new(),
            step: 0,
            masked: Vec::new(),
            recent: Vec::new(),
            ends_line: true,
            tail: None,
            announce: None,
            tail_next: None,
            effects: Effects::default(),
        }
    }

    /// Prints what is written, too: where this process is killed, somebody else has it.
    pub fn prints(&mut self, prints: bool) {
        self.prints = prints;
    }

    /// Shows paths in annotations relative to this folder: people do not know work folders.
    pub fn set_workspace(&mut self, folder: &Path) {
        folder.clone_into(&mut self.workspace);
    }

    /// Starts a step's output.
    pub fn begin(&mut self, step: u32, trust: Trust) {
        self.step = step;
        self.trust = trust;
        self.echo = self.debug;
        self.annotations.0.clear();
        self.told.clear();
        self.effects = Effects::default();
        self.recent.clear();
        self.tail = None;
        self.announce = Some(Instant::now() + ANNOUNCE);
    }

    /// Ends a step's output: what was held back is written; stopped commands go on.
    pub fn end(&mut self) {
        self.end_line();
        let mut out = std::mem::take(&mut self.masked);
        self.stream.finish(&mut out);
        self.write(&out);
        out.clear();
        self.masked = out;
        if !self.ends_line {
            self.write(b"\n");
        }
        self.gate = CommandGate::default();
        self.echo = false;
    }

    /// Returns the bytes of the log so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the error of the log's file, once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Tells whether the end of the step's output speaks of a full disk.
    pub fn speaks_of_full_disk(&self) -> bool {
        String::from_utf8_lossy(&self.recent).contains("No space left on device")
    }

    /// Writes a line of the agent's own, masked.
    pub fn note(&mut self, text: &str) {
        self.end_line();
        self.text(text.as_bytes());
        self.text(b"\n");
        self.flush_masked();
    }

    /// Hides a value from here on.
    pub fn mask(&mut self, value: &str) {
        self.masks.add(value);
        let mut out = std::mem::take(&mut self.masked);
        self.stream.replace(&self.masks, &mut out);
        self.masked = out;
    }

    /// Takes bytes of the running process; returns when it wants to be called again, with nothing,
    /// to send a line for the live display.
    pub fn take(&mut self, bytes: &[u8]) -> Duration {
        let mut rest = bytes;
        // Text that has not been passed on: `plain` bytes before `rest`.
        let mut plain = 0;
        let mut all = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').map(|at| at + 1);
            let (line, later) = rest.split_at(end.unwrap_or(rest.len()));
            rest = later;
            if self.passing || (self.line.is_empty() && !may_start_command(line)) {
                self.passing = end.is_none();
                plain += line.len();
                continue;
            }
            let (now, after) = all.split_at(plain);
            self.text(now);
            all = after.get(line.len()..).unwrap_or_default();
            plain = 0;
            self.hold(line, end.is_some());
        }
        self.text(all.get(..plain).unwrap_or_default());
        self.flush_masked();
        self.show_tail()
    }

    /// Adds to a line that may be a command.
    fn hold(&mut self, piece: &[u8], ended: bool) {
        self.line.extend_from_slice(piece);
        if ended {
            self.end_line();
        } else if self.line.len() > LONGEST_COMMAND || !may_be_command(&self.line) {
            let line = std::mem::take(&mut self.line);
            self.text(&line);
            self.passing = true;
        }
    }

    fn end_line(&mut self) {
        self.passing = false;
        if self.line.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        match self.gate.admit(text.trim_end_matches(['\n', '\r']), self.trust.stop_tokens) {
            Admitted::Text | Admitted::Resumed => self.text(&line),
            Admitted::Stopped(token) => {
                // Who reads the log must not be able to resume.
                if token.len() > 6 {
                    self.mask(&token);
                }
                self.text(&line);
            }
            Admitted::Refused(reason) => {
                self.text(&line);
                self.refuse(reason);
            }
            Admitted::Command(command) => self.command(&command, &line),
        }
    }

    fn command(&mut self, command: &WorkflowCommand, line: &[u8]) {
        let data = command.data.as_str();
        let name = command.name.as_str();
        let omit_echo = matches!(name, "error" | "warning" | "notice" | "debug" | "add-mask");
        if self.echo && !omit_echo {
            self.text(line);
        }
        match name {
            "error" | "warning" | "notice" => {
                self.prefixed(name, data);
                if let Some(annotation) = command.annotation(self.step) {
                    self.annotate(annotation);
                }
            }
            "debug" if self.debug => self.prefixed("debug", data),
            "debug" => {}
            "group" => self.prefixed("group", data),
            "endgroup" => self.prefixed("endgroup", ""),
            "add-mask" if data.trim().is_empty() => {
                self.issue("warning", "Can't add secret mask for empty string in ##[add-mask] command.");
            }
            "add-mask" => {
                self.mask(data);
                if self.echo {
                    self.text(b"::add-mask::***\n");
                }
            }
            "echo" => match data.trim().to_ascii_lowercase().as_str() {
                "on" => self.echo = true,
                "off" => self.echo = false,
                _ => self.refuse(format!("Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{data}'.")),
            },
            "set-output" | "save-state" => {
                self.deprecated(name);
                self.set(command);
            }
            "set-env" | "add-path" if !self.trust.commands => {
                let file = if name == "set-env" { "GITHUB_ENV" } else { "GITHUB_PATH" };
                self.refuse(format!("The `{name}` command is disabled. Write to the file ${file} instead, or opt in with ACTIONS_ALLOW_UNSECURE_COMMANDS=true."));
            }
            "set-env" => self.set(command),
            "add-path" if data.is_empty() => self.refuse("The `add-path` command has no path.".to_owned()),
            "add-path" => self.effects.paths.push(data.to_owned()),
            "add-matcher" | "remove-matcher" => {
                self.issue("warning", &format!("problem matchers (`{name}`) are not supported; use ::error file=…::"));
            }
            // GitHub's other commands are its own business; anything else is text.
            _ => self.text(line),
        }
    }

    /// Takes over a command that sets a named value.
    fn set(&mut self, command: &WorkflowCommand) {
        let Some(name) = command.property("name") else {
            let text = format!("Required field 'name' is missing in ##[{}] command.", command.name);
            return self.refuse(text);
        };
        self.effects.size += name.len() + command.data.len();
        if self.effects.size > LARGEST_EFFECTS {
            return self
                .refuse(format!("The values that commands set have more than {LARGEST_EFFECTS} bytes."));
        }
        let pair = (name.to_owned(), command.data.clone());
        match command.name.as_str() {
            "set-output" => self.effects.outputs.push(pair),
            // Only actions with a `post` of their own read it, and none of them run here.
            "save-state" => {}
            _ => self.effects.env.push(pair),
        }
    }

    /// Fails the step for a command that cannot be carried out.
    fn refuse(&mut self, reason: String) {
        self.issue("error", &reason);
        self.effects.error.get_or_insert(reason);
    }

    fn deprecated(&mut self, name: &str) {
        if self.told.insert(name.to_owned()) {
            self.issue("warning", &format!("The `{name}` command is deprecated and will be disabled soon. Please upgrade to using Environment Files. For more information see: https://github.blog/changelog/2022-10-11-github-actions-deprecating-save-state-and-set-output-commands/"));
        }
    }

    /// Writes a line and keeps it as an annotation.
    pub fn issue(&mut self, level: &str, text: &str) {
        self.prefixed(level, text);
        self.annotate(Annotation {
            level: level.to_owned(),
            message: text.to_owned(),
            step: self.step,
            ..Annotation::default()
        });
    }

    /// Keeps an annotation, masked; beyond GitHub's limits the log has it only, so that a program
    /// that prints millions of them does not fill the run's log.
    fn annotate(&mut self, mut a: Annotation) {
        let of_step = self.annotations.0.entry(a.level.clone()).or_insert(0);
        *of_step = of_step.saturating_add(1);
        if *of_step > ANNOTATIONS_OF_STEP || self.annotations.1 >= ANNOTATIONS_OF_JOB {
            if *of_step == ANNOTATIONS_OF_STEP + 1 {
                let text =
                    format!("(more annotations of level `{}` in this step are in the log only)", a.level);
                self.prefixed("debug", &text);
            }
            return;
        }
        self.annotations.1 += 1;
        let relative = a.file.as_ref().and_then(|f| Path::new(f).strip_prefix(&self.workspace).ok());
        if let Some(relative) = relative.filter(|r| !r.as_os_str().is_empty()) {
            a.file = Some(relative.to_string_lossy().into_owned());
        }
        a.message = self.masks.apply(&a.message);
        a.title = a.title.map(|t| self.masks.apply(&t));
        a.file = a.file.map(|t| self.masks.apply(&t));
        self.link.say(MessageBody::Annotation(a));
    }

    fn prefixed(&mut self, kind: &str, text: &str) {
        let line = format!("##[{kind}]{text}\n");
        self.text(line.as_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.stream.push(bytes, &mut self.masked);
    }

    fn flush_masked(&mut self) {
        if self.masked.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.masked);
        self.write(&out);
        self.remember(&out);
        out.clear();
        self.masked = out;
    }

    fn remember(&mut self, out: &[u8]) {
        let new = out.get(out.len().saturating_sub(RECENT)..).unwrap_or_default();
        self.recent.extend_from_slice(new);
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
        let lines = new.split(|b| *b == b'\n').rev();
        if let Some(line) = lines.map(<[u8]>::trim_ascii).find(|l| !l.is_empty()) {
            let line = line.get(..line.len().min(TAIL_LENGTH)).unwrap_or_default();
            self.tail = Some(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn show_tail(&mut self) -> Duration {
        let now = Instant::now();
        let announce = self.announce.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        if announce.is_zero() {
            self.announce = None;
            self.link.flush();
        }
        let announce = if announce.is_zero() { Duration::MAX } else { announce };
        if self.tail.is_none() {
            return announce;
        }
        // A step that prints and ends at once needs no live line: the first one waits, too.
        let next = *self.tail_next.get_or_insert(now + TAIL_EVERY);
        if now < next {
            return (next - now).min(announce);
        }
        if let Some(line) = self.tail.take() {
            self.link.hint(MessageBody::Tail { step: self.step, line });
            self.tail_next = Some(now + TAIL_EVERY);
        }
        announce
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.ends_line = *last == b'\n';
        if self.failed.is_some() {
            return;
        }
        let done = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => create(&self.path).and_then(|mut file| {
                let done = file.write_all(bytes);
                self.file = Some(file);
                done
            }),
        };
        if self.prints {
            let mut out = io::stdout().lock();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        match done {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => {
                // The store needs room to say that there is none.
                if error.kind() == io::ErrorKind::StorageFull
                    && let Some(file) = &self.file
                {
                    let kept = self.written.saturating_sub(ROOM);
                    self.written = if file.set_len(kept).is_ok() { kept } else { self.written };
                }
                self.failed = Some(error);
            }
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    match File::create(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            File::create(path)
        }
        other => other,
    }
}

/// Tells at the start of a line whether it may be a command.
fn may_start_command(line: &[u8]) -> bool {
    match line.first() {
        Some(b':' | b'#' | b' ' | b'\t') => may_be_command(line),
        _ => false,
    }
}
