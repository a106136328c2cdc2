//! A run seen and ended from another process: `runs watch`, `logs --follow`, `runs cancel`, Ctrl-C,
//! and the live display on a real terminal.

use crate::harness::{Project, binary};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WORKFLOW: &str = "\
on: workflow_dispatch
jobs:
  train:
    steps:
      - name: fit
        run: |
          echo epoch one
          touch \"$STARTED\"
          while [ ! -e \"$GO\" ]; do sleep 0.02; done
          echo epoch two
  cleanup:
    needs: train
    if: always()
    steps: [{ run: echo cleaned up }]
";

/// A run that waits until `go` is there.
struct Waiting {
    project: Project,
    child: Child,
}

impl Waiting {
    fn start() -> Self {
        Self::of(WORKFLOW)
    }

    fn of(text: &str) -> Self {
        let project = Project::workflow(text);
        let file = |name: &str| format!("{}={}", name.to_uppercase(), project.path().join(name).display());
        let child = Command::new(binary())
            .args(["run", "--env", &file("started"), "--env", &file("go")])
            .current_dir(project.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        until(|| project.path().join("started").exists());
        Self { project, child }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }

    fn signal(&self, name: &str) {
        self.project.sh(&format!("kill -{name} {}", self.child.id()));
    }
}

/// Waits for a condition, with a deadline.
fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(4);
    while !holds() {
        assert!(Instant::now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `tidegate` in the background and waits until it has said something.
fn following(project: &Project, args: &[&str], awaited: &str) -> (Child, std::path::PathBuf) {
    let path = project.path().join(format!("{}.out", args.join("-")));
    let out = std::fs::File::create(&path).unwrap();
    let child = Command::new(binary()).args(args).current_dir(project.path()).stdout(out).spawn().unwrap();
    until(|| std::fs::read_to_string(&path).unwrap().contains(awaited));
    (child, path)
}

#[test]
fn another_process_watches_and_follows_to_the_end() {
    let run = Waiting::start();
    run.project.tidegate(["runs", "list", "--state", "running"]).code(0).stdout("running");
    // A step is told of once it has taken a moment.
    until(|| run.project.tidegate(["runs", "show"]).stdout.contains("step `fit`"));
    run.project
        .tidegate(["runs", "show"])
        .code(0)
        .stdout("… train   attempt 1, step `fit`")
        .stdout("runs cancel 1");
    run.project
        .tidegate(["why", "cleanup"])
        .code(0)
        .stdout("cleanup has not started in run 1\n  … train has not ended");
    let (mut watch, watched) = following(&run.project, &["runs", "watch"], "train");
    let (mut logs, logged) =
        following(&run.project, &["runs", "logs", "1", "train", "--follow"], "epoch one");
    assert!(!std::fs::read_to_string(&logged).unwrap().contains("epoch two"));
    run.project.write("go", "");
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    assert_eq!(logs.wait().unwrap().code(), Some(0));
    assert!(std::fs::read_to_string(watched).unwrap().contains("passed in"));
    assert_eq!(std::fs::read_to_string(logged).unwrap(), "epoch one\nepoch two\n");
    let (code, text) = run.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn another_process_cancels() {
    let run = Waiting::start();
    run.project.tidegate(["runs", "cancel", "--reason", "too slow"]).code(0).stdout("to cancel run 1");
    let list = |run: &Waiting| run.project.tidegate(["runs", "list"]).stdout;
    until(|| list(&run).contains("cancelled"));
    run.project.tidegate(["runs", "show"]).code(0).stdout("! cancelling: too slow").stdout("✓ cleanup");
    run.project.tidegate(["runs", "watch", "1"]).code(5);
    run.project.tidegate(["why", "train"]).code(0).stdout("train ran in run 1");
    let (code, text) = run.end();
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("cancelled after"), "{text}");
}

#[test]
fn ctrl_c_cancels_cleanly_and_a_second_one_at_once() {
    let run = Waiting::start();
    run.signal("INT");
    let (code, text) = run.end();
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("✓ cleanup") && text.contains("(ctrl-c)"), "{text}");

    // Its clean-up is not over when the second one comes.
    let run = Waiting::of(&WORKFLOW.replace("echo cleaned up", "sleep 100"));
    run.signal("INT");
    until(|| run.project.tidegate(["runs", "show"]).stdout.contains("cancelling"));
    run.signal("INT");
    let (code, text) = run.end();
    assert_eq!(code, Some(5), "{text}");
    assert!(!text.contains("✓ cleanup"), "{text}");
}

#[test]
fn a_run_whose_engine_died_is_inconclusive_until_it_is_resumed() {
    let mut run = Waiting::start();
    run.signal("KILL");
    run.child.wait().unwrap();
    run.project.tidegate(["runs", "watch", "1"]).code(6).stderr("tidegate run --resume 1");
    run.project.tidegate(["runs", "list", "--state", "interrupted"]).code(0).stdout("interrupted");
    run.project.tidegate(["runs", "cancel", "1"]).code(2).stderr("its engine is gone");
    run.project.write("go", "");
    run.project.tidegate(["run", "--resume", "1"]).code(0).stdout("passed in");
}

/// What a person on a terminal of 80 columns sees in the end, as Python's `pty` gives it. Once there is a spinner, nothing
/// done and a line of output, there is a file `go`.
fn on_a_terminal(project: &Project, env: &str) -> String {
    let script = format!(
        "import os, pty, sys, fcntl, termios, struct\n\
         pid, fd = pty.fork()\n\
         if pid == 0:\n    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n    \
             os.execvpe('{}', ['tidegate', 'run'], dict(os.environ, TERM='xterm', GO=os.path.abspath('go'), {env}))\n\
         seen = b''\n\
         while True:\n    try: data = os.read(fd, 65536)\n    except OSError: break\n    if not data: break\n    os.write(1, data)\n    seen += data\n    \
             if b'0 of 2' in seen and b'\\x1b[2m      epoch' in seen and ('⠋'.encode() in seen or '⠙'.encode() in seen): open('go', 'w')\n\
         sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
        binary().display()
    );
    let done = Command::new("python3")
        .args(["-c", &script])
        .current_dir(project.path())
        .env_remove("CI")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_terminal_is_redrawn_and_ci_is_not() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  train:
    strategy: { matrix: { c: [1, 2] } }
    steps:
      # Until the display has shown it; the test says what is missing if it never does.
      - run: echo epoch ${{ matrix.c }}; for i in $(seq 1200); do test ! -e $GO || break; sleep 0.05; done
",
    );
    let live = on_a_terminal(&project, "");
    assert!(live.contains('⠋') || live.contains('⠙'), "a spinner: {live}");
    assert!(
        live.contains("0 of 2") && live.contains("\x1b[2m      epoch"),
        "folded, the last line dimmed: {live}"
    );
    assert!(live.contains("\x1b[32m✓\x1b[0m train") && live.contains("2 of 2"), "{live}");
    assert!(!live.contains("train (1)"), "rows are folded: {live}");
    let ci = on_a_terminal(&project, "CI='true'");
    assert!(!ci.contains('⠋') && ci.contains("train (1)"), "{ci}");
    let plain = on_a_terminal(&project, "NO_COLOR='1'");
    assert!(!plain.contains("\x1b[32m") && plain.contains("✓ train"), "{plain}");
    assert!(Path::new(&project.path().join(".tidegate/runs.db")).exists());
}
