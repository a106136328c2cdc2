//! Commands about runs of an engine in a cluster: the same command runs beside that engine, in its pod, and is
//! shown here.

use super::run::{Place, away, elsewhere};
use super::{Exit, Failure, Globals};
use crate::app::config::Project;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_edge::executor::kubernetes::ClusterError;
use tidegate_edge::executor::kubernetes::detached::{Beside, Terminal, run_beside};

/// An engine that starts again is waited for this long by one who follows a run.
const PATIENCE: Duration = Duration::from_mins(2);
/// And this long by one who only asks.
const GLANCE: Duration = Duration::from_secs(10);
/// The pause before it is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose runs a command is about.
#[derive(Debug, clap::Args)]
pub struct Elsewhere {
    /// `kubernetes`: the runs of the engine in the cluster (`run --detach`), not of this project
    #[arg(long, value_enum, default_value = "local", value_name = "PLACE")]
    on: Place,
    /// With --on kubernetes: the context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    context: Option<String>,
    /// With --on kubernetes: the namespace [default: the context's]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    namespace: Option<String>,
}

impl Elsewhere {
    /// Has the command carried out beside the engine; `None`: it is about runs of this machine. With `follow`,
    /// an engine that starts again is followed on.
    pub fn forward(&self, globals: &Globals, follow: bool) -> Result<Option<Exit>, Failure> {
        if self.on != Place::Kubernetes {
            return Ok(None);
        }
        let project = Project::find(Path::new("."), globals.store.as_deref())
            .map_err(|e| Failure::wrong("cannot read the project's configuration").caused_by(&e))?;
        let kept = &project.settings.kubernetes;
        let context = self.context.as_deref().or(kept.context.as_deref());
        let namespace = self.namespace.as_deref().or(kept.namespace.as_deref());
        let where_to = elsewhere(context, namespace);
        let given: Vec<String> =
            std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        let args = forwarded(&given, &where_to, globals.color());
        let live = terminal(globals).is_some();
        let mut shown = Shown { to: io::stdout(), written: 0, passed: 0, live, any: false };
        let patience = if follow { PATIENCE } else { GLANCE };
        let (mut since, mut said) = (Instant::now(), false);
        loop {
            let beside = Beside { context, namespace, args: args.clone(), terminal: terminal(globals) };
            let done = run_beside(beside, &mut shown, &mut io::stderr());
            let failure = match done.map(|code| code.and_then(Exit::from_code)) {
                Ok(Some(exit)) => return Ok(Some(exit)),
                Ok(None) => Failure::tool("the connection to the engine in the cluster broke")
                    .hint("the run goes on; ask again"),
                Err(error @ (ClusterError::NoEngine { .. } | ClusterError::Config(_))) => {
                    return Err(away(&error, &where_to));
                }
                // Who was let in once is let in again; who never was is told at once.
                Err(error @ ClusterError::Api { .. }) if !shown.any => {
                    return Err(away(&error, &where_to));
                }
                Err(error) => away(&error, &where_to),
            };
            if shown.again() {
                since = Instant::now();
            }
            // What was shown in part is not begun again, unless it can be gone on with.
            if since.elapsed() >= patience || !follow && shown.any {
                return Err(failure);
            }
            if follow && !std::mem::replace(&mut said, true) {
                globals.warn(format!("{}; it is waited for\n", failure.message));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Asks the engine something that is not shown: its answer, or the exit of a command that failed and said why.
pub(super) fn ask(
    context: Option<&str>,
    namespace: Option<&str>,
    question: &[&str],
) -> Result<(Vec<u8>, Exit), Failure> {
    let where_to = elsewhere(context, namespace);
    let args =
        forwarded(&question.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &where_to, false);
    let since = Instant::now();
    loop {
        let mut answer = Vec::new();
        let beside = Beside { context, namespace, args: args.clone(), terminal: None };
        let failure = match run_beside(beside, &mut answer, &mut io::stderr()) {
            Ok(code) => match code.and_then(Exit::from_code) {
                Some(exit) => return Ok((answer, exit)),
                None => Failure::tool("the connection to the engine in the cluster broke").hint("ask again"),
            },
            Err(error @ ClusterError::EngineAway { .. }) => away(&error, &where_to),
            Err(error) => return Err(away(&error, &where_to)),
        };
        if since.elapsed() >= GLANCE {
            return Err(failure);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The terminal of standard output, if it is one.
fn terminal(globals: &Globals) -> Option<Terminal> {
    globals.width()?;
    Some(Box::new(|| {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some((size.ws_col, size.ws_row))
    }))
}

/// Standard output; what a command says again after a broken connection is passed over.
struct Shown<W> {
    to: W,
    /// Bytes that were shown.
    written: u64,
    /// Bytes of this connection.
    passed: u64,
    /// It is a terminal that is drawn on: what is said again is drawn again.
    live: bool,
    /// Whether anything was shown.
    any: bool,
}

impl<W> Shown<W> {
    /// Begins with a new connection; tells whether the last one showed something new.
    fn again(&mut self) -> bool {
        let new = self.written > 0 && self.passed >= self.written;
        self.passed = 0;
        if self.live {
            self.written = 0;
        }
        new
    }
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let known = usize::try_from(self.written - self.passed.min(self.written)).unwrap_or(usize::MAX);
        let new = bytes.get(known.min(bytes.len())..).unwrap_or_default();
        self.to.write_all(new)?;
        self.passed += bytes.len() as u64;
        self.written = self.written.max(self.passed);
        self.any |= !bytes.is_empty();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Options that are about this side.
const HERE: [&str; 6] = ["--directory", "--store", "--color", "--on", "--context", "--namespace"];

/// The command line for the other side.
fn forwarded(given: &[String], where_to: &str, color: bool) -> Vec<String> {
    let color = if color { "always" } else { "never" };
    let mut args: Vec<String> = ["--color", color, "--attached"]
        .into_iter()
        .chain([where_to.trim_start()])
        .map(str::to_owned)
        .collect();
    let mut rest = given.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            args.push(arg.clone());
            args.extend(rest.cloned());
            break;
        }
        let name = arg.split('=').next().unwrap_or(arg);
        if arg == "-C" || (HERE.contains(&name) && name == arg) {
            rest.next();
        } else if !(HERE.contains(&name) || arg.starts_with("-C")) {
            args.push(arg.clone());
        }
    }
    args
}

/// Ends this process when its standard input does: whoever asked from outside has gone.
pub(super) fn end_with_input() -> io::Result<()> {
    let wait = || {
        let mut bytes = [0; 256];
        while io::stdin().read(&mut bytes).is_ok_and(|read| read > 0) {}
        #[expect(clippy::exit, reason = "nobody is there to hear of it in another way")]
        std::process::exit(i32::from(Exit::Cancelled.code()));
    };
    std::thread::Builder::new().name("input".into()).spawn(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_this_side_stays_here() {
        let line = |given: &str| {
            let given: Vec<String> = given.split(' ').map(str::to_owned).collect();
            forwarded(&given, " --on kubernetes", false)[4..].join(" ")
        };
        assert_eq!(line("runs watch 7 --on kubernetes --namespace ml"), "runs watch 7");
        assert_eq!(line("-C dir --store=x runs list -n 5 --on=kubernetes --context=c"), "runs list -n 5");
        assert_eq!(line("--color always -Cdir runs logs 7 train --follow"), "runs logs 7 train --follow");
        assert_eq!(line("runs cancel 7 --reason=--on -- --on"), "runs cancel 7 --reason=--on -- --on");
        let all = forwarded(&["why".to_owned()], " --on kubernetes", true);
        assert_eq!(all, ["--color", "always", "--attached", "--on kubernetes", "why"]);
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        let mut shown = Shown { to: Vec::new(), written: 0, passed: 0, live: false, any: false };
        shown.write_all(b"one\ntw").unwrap();
        assert!(shown.again());
        shown.write_all(b"on").unwrap();
        assert!(!shown.again());
        shown.write_all(b"one\n").unwrap();
        shown.write_all(b"two\nthree\n").unwrap();
        assert_eq!(shown.to, b"one\ntwo\nthree\n");
    }
}
