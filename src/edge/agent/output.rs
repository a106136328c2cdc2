//! What steps print: split into workflow commands and text, masked, written to the attempt's log.
//!
//! Memory does not grow with the output: only a line that may be a command is held back, and only up
//! to [`LONGEST_COMMAND`]; masking holds back less than one secret.

use super::link::Link;
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
    unsecure: bool,
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
    /// `save-state`.
    pub state: Vec<(String, String)>,
    /// `set-env`, where it is allowed.
    pub env: Vec<(String, String)>,
    /// `add-path`, where it is allowed.
    pub paths: Vec<String>,
    /// Why the step fails although its process did not: a command that is not allowed.
    pub errors: Vec<String>,
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
            masks,
            stream,
            line: Vec::new(),
            passing: false,
            gate: CommandGate::default(),
            echo: false,
            debug,
            unsecure: false,
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

    /// Starts a step's output. `unsecure`: `ACTIONS_ALLOW_UNSECURE_COMMANDS` is true.
    pub fn begin(&mut self, step: u32, unsecure: bool) {
        self.step = step;
        self.unsecure = unsecure;
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
        match self.gate.admit(text.trim_end_matches(['\n', '\r'])) {
            Admitted::Text => self.text(&line),
            Admitted::Switched => self.text(&line),
            Admitted::Refused(reason) => {
                self.text(&line);
                self.effects.errors.push(reason);
            }
            Admitted::Command(command) => self.command(&command, &line),
        }
    }

    fn command(&mut self, command: &WorkflowCommand, line: &[u8]) {
        let name = command.property("name").unwrap_or_default().to_owned();
        let data = command.data.as_str();
        match command.name.as_str() {
            "error" | "warning" | "notice" => {
                self.prefixed(&command.name, data);
                if let Some(annotation) = command.annotation(self.step) {
                    let annotation = self.masked_annotation(annotation);
                    self.link.say(MessageBody::Annotation(annotation));
                }
                return;
            }
            "debug" => {
                if self.debug {
                    self.prefixed("debug", data);
                }
                return;
            }
            "group" => return self.prefixed("group", data),
            "endgroup" => return self.prefixed("endgroup", ""),
            "add-mask" => {
                if data.trim().is_empty() {
                    self.warn("Can't add secret mask for empty string in ##[add-mask] command.");
                } else {
                    self.mask(data);
                }
            }
            "echo" => match data.trim().to_ascii_lowercase().as_str() {
                "on" => self.echo = true,
                "off" => self.echo = false,
                _ => self.effects.errors.push(format!("Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{data}'.")),
            },
            "set-output" => self.named(name, "set-output", |e, name| e.outputs.push((name, data.to_owned()))),
            "save-state" => self.named(name, "save-state", |e, name| e.state.push((name, data.to_owned()))),
            "set-env" if self.unsecure => self.named(name, "set-env", |e, name| e.env.push((name, data.to_owned()))),
            "add-path" if self.unsecure => self.effects.paths.push(data.to_owned()),
            "set-env" | "add-path" => {
                let file = if command.name == "set-env" { "GITHUB_ENV" } else { "GITHUB_PATH" };
                let reason = format!(
                    "The `{}` command is disabled. Write to the file ${file} instead, or opt in with ACTIONS_ALLOW_UNSECURE_COMMANDS=true.",
                    command.name
                );
                self.prefixed("error", &reason);
                self.effects.errors.push(reason);
                return;
            }
            "add-matcher" | "remove-matcher" => self.warn(&format!("problem matchers (`{}`) are not supported; use ::error file=…::", command.name)),
            // GitHub's other commands are its own business; anything else is text.
            _ => return self.text(line),
        }
        if self.echo {
            self.text(line);
        }
    }

    fn named(&mut self, name: String, command: &str, act: impl FnOnce(&mut Effects, String)) {
        if name.is_empty() {
            self.effects.errors.push(format!("Required field 'name' is missing in ##[{command}] command."));
        } else {
            act(&mut self.effects, name);
        }
    }

    fn warn(&mut self, text: &str) {
        self.prefixed("warning", text);
        let annotation = Annotation {
            level: "warning".into(),
            message: text.into(),
            step: self.step,
            ..Annotation::default()
        };
        self.link.say(MessageBody::Annotation(annotation));
    }

    fn prefixed(&mut self, kind: &str, text: &str) {
        let line = format!("##[{kind}]{text}\n");
        self.text(line.as_bytes());
    }

    fn masked_annotation(&self, mut a: Annotation) -> Annotation {
        a.message = self.masks.apply(&a.message);
        a.title = a.title.map(|t| self.masks.apply(&t));
        a.file = a.file.map(|t| self.masks.apply(&t));
        a
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
        match done {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => self.failed = Some(error),
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
