//! A run's process, as the engine sees it: started, told, heard to its end.

use super::command::Args;
use super::word::{CANCEL, Told, Word};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use tokio::sync::mpsc::UnboundedSender;

/// What the engine hears beside requests.
pub(super) enum Heard {
    /// A run's process says something.
    Word(String, Word),
    /// A run's process is gone.
    Gone(String),
    /// What old runs held went, or could not go.
    Collected(String),
    /// Somebody wants the engine to go.
    Stop,
}

/// The process of a run.
pub(super) struct Running {
    /// Has it leave when it is dropped.
    input: Option<ChildStdin>,
    /// Its last word.
    pub(super) last: Option<Word>,
}

impl Running {
    /// Starts it. The request goes through a pipe: neither arguments nor files hold a secret.
    pub(super) fn start(
        args: &Args,
        store: &Path,
        (name, run): (&str, &str),
        told: &Told,
        to: UnboundedSender<Heard>,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--store").arg(store).args([
            "engine",
            "--agent-image",
            &args.agent_image,
            "--holder",
            &args.holder,
            "--run",
            run,
        ]);
        command.args(args.hub().options().flat_map(|(option, value)| [option, value]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        follow(name.to_owned(), child, to)?;
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        input.write_all(&line)?;
        Ok(Self { input: Some(input), last: None })
    }

    /// Ends its run as Ctrl-C does.
    pub(super) fn cancel(&mut self) {
        if let Some(input) = &mut self.input {
            // One that is gone needs no word.
            let _ = input.write_all(format!("{CANCEL}\n").as_bytes());
        }
    }

    /// Has it leave its run to the next engine.
    pub(super) fn leave(&mut self) {
        self.input = None;
    }
}

/// Hears a process to its end, on a thread.
fn follow(name: String, mut child: Child, to: UnboundedSender<Heard>) -> std::io::Result<()> {
    let hear = move || {
        for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            let word = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            if let Some(word) = word {
                let _ = to.send(Heard::Word(name.clone(), word));
            }
        }
        let _ = child.wait();
        let _ = to.send(Heard::Gone(name));
    };
    std::thread::Builder::new().name("run".into()).stack_size(256 << 10).spawn(hear).map(drop)
}
