//! The supervisor over its pipe, with real processes.

use crate::harness::until;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tidegate_edge::agent::{log_path_of, processes};
use tidegate_edge::executor::ExecutorMessage;
use tidegate_edge::executor::local::{LocalExecutor, LocalOptions};
use tidegate_flow::job::{
    ActionSpec, AgentRequest, Annotation, Conclusion, EnvLayer, FailureClass, JobMessage, JobSpec,
    MessageBody, Receipt, StepSpec,
};

/// A supervisor with a store of its own.
pub struct Host {
    pub store: tempfile::TempDir,
    pub executor: LocalExecutor,
    pub messages: Receiver<ExecutorMessage>,
}

impl Host {
    pub fn start() -> Self {
        let store = tempfile::tempdir().unwrap();
        let (send, messages) = channel();
        let options = LocalOptions {
            exe: env!("CARGO_BIN_EXE_tidegate").into(),
            store: store.path().to_owned(),
            run: store.path().file_name().unwrap().to_string_lossy().into_owned(),
            containers: None,
        };
        let executor = LocalExecutor::start(
            &options,
            Box::new(move |m| {
                let _ = send.send(m);
            }),
        )
        .unwrap();
        Self { store, executor, messages }
    }

    pub fn begin(&self, spec: &JobSpec, secrets: &[(&str, &str)]) {
        let secrets = secrets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.executor.send(&AgentRequest::Start { spec: Box::new(spec.clone()), secrets }).unwrap();
    }

    pub fn next(&self) -> ExecutorMessage {
        self.messages
            .recv_timeout(Duration::from_mins(4))
            .expect("the supervisor says something within four minutes")
    }

    /// Runs an attempt to its receipt.
    pub fn run(&self, spec: &JobSpec, secrets: &[(&str, &str)]) -> Ran {
        self.begin(spec, secrets);
        self.finish(spec)
    }

    pub fn finish(&self, spec: &JobSpec) -> Ran {
        let mut said = Vec::new();
        loop {
            match self.next() {
                ExecutorMessage::Job(JobMessage { token, seq, body, .. }) if token == spec.token => {
                    if seq > 0 {
                        said.push(seq);
                        self.executor.send(&AgentRequest::Acknowledge { token, seq }).unwrap();
                    }
                    let mut ran = Ran::default();
                    if let MessageBody::Ended(receipt) = body {
                        assert_eq!(
                            said,
                            (1..=said.len() as u64).collect::<Vec<_>>(),
                            "numbered without gaps"
                        );
                        ran.bytes = std::fs::read(log_path_of(self.store.path(), spec)).unwrap_or_default();
                        ran.receipt = Some(receipt);
                        ran.messages = std::mem::take(&mut *self.kept().borrow_mut());
                        return ran;
                    }
                    self.kept().borrow_mut().push(body);
                }
                ExecutorMessage::Job(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[expect(clippy::unused_self, reason = "belongs to the host's thread")]
    fn kept(&self) -> std::rc::Rc<std::cell::RefCell<Vec<MessageBody>>> {
        thread_local!(static KEPT: std::rc::Rc<std::cell::RefCell<Vec<MessageBody>>> = std::rc::Rc::default());
        KEPT.with(Clone::clone)
    }
}

/// What an attempt gave.
#[derive(Default)]
pub struct Ran {
    pub receipt: Option<Receipt>,
    pub messages: Vec<MessageBody>,
    pub bytes: Vec<u8>,
}

impl Ran {
    pub fn receipt(&self) -> &Receipt {
        self.receipt.as_ref().unwrap()
    }
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn ok(self) -> Self {
        assert_eq!(self.receipt().conclusion, Conclusion::Success, "{:?}\n{}", self.receipt(), self.log());
        self
    }
    pub fn annotations(&self) -> Vec<&Annotation> {
        self.messages
            .iter()
            .filter_map(|m| if let MessageBody::Annotation(a) = m { Some(a) } else { None })
            .collect()
    }
    /// Outcome and conclusion of each step.
    pub fn steps(&self) -> Vec<(Conclusion, Conclusion)> {
        let of = |m: &MessageBody| match m {
            MessageBody::StepEnded { outcome, conclusion, .. } => Some((*outcome, *conclusion)),
            _ => None,
        };
        self.messages.iter().filter_map(of).collect()
    }
}

pub fn script(text: &str) -> StepSpec {
    StepSpec {
        action: ActionSpec::Run { script: text.to_owned(), shell: None, working_directory: None },
        ..StepSpec::default()
    }
}

pub fn step(id: &str, condition: &str, text: &str) -> StepSpec {
    StepSpec { id: id.to_owned(), condition: condition.to_owned(), ..script(text) }
}

pub fn job(steps: Vec<StepSpec>) -> JobSpec {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    JobSpec {
        version: 1,
        run: "01TEST".into(),
        job: "job".into(),
        instance: number,
        attempt: 1,
        token: format!("01TEST.{number}.1"),
        contexts: BTreeMap::from([(
            "github".to_owned(),
            serde_json::json!({"repository": "o/r", "sha": "abc", "ref": "refs/heads/main", "event": {"n": 1}}),
        )]),
        grace_seconds: 0.5,
        steps,
        ..JobSpec::default()
    }
}

/// A line is whole with its end.
fn pid_of(file: &Path) -> u32 {
    until("the process writes its id", || {
        let text = std::fs::read_to_string(file).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

fn lives(pid: u32) -> bool {
    processes().get(&pid).is_some_and(|p| !p.zombie)
}

/// Files that processes write their ids to.
fn files(host: &Host) -> PathBuf {
    host.store.path().to_owned()
}

#[test]
fn steps_see_what_earlier_steps_wrote() {
    let host = Host::start();
    let mut spec = job(vec![
        step(
            "a",
            "",
            "echo 'x=1' >> $GITHUB_OUTPUT; echo Y=2 >> $GITHUB_ENV; mkdir b; printf '#!/bin/sh\\necho tool' > b/tool; chmod +x b/tool; echo $PWD/b >> $GITHUB_PATH; echo '# S' >> $GITHUB_STEP_SUMMARY; echo '{\"acc\": 0.5}' >> $ML_METRICS",
        ),
        step(
            "b",
            "",
            "echo ${{ steps.a.outputs.x }} $Y ${{ env.Y }} ${{ metrics.acc }} ${{ steps.a.outcome }} $JOB $WF $(tool) $CI $GITHUB_REPOSITORY $(cat $GITHUB_EVENT_PATH)",
        ),
    ]);
    spec.env = vec![
        EnvLayer {
            variables: vec![("WF".into(), "w".into()), ("JOB".into(), "no".into())],
            expression: None,
        },
        EnvLayer { variables: vec![("JOB".into(), "${{ env.WF }}j".into())], expression: None },
    ];
    spec.outputs = vec![("out".into(), "${{ steps.a.outputs.x }}!".into())];
    let ran = host.run(&spec, &[]).ok();
    assert_eq!(ran.log().trim_end(), "1 2 2 0.5 success wj w tool true o/r {\"n\":1}");
    assert_eq!(ran.receipt().outputs["out"], "1!");
    assert_eq!(ran.receipt().summary, "# S\n");
    assert_eq!(ran.receipt().metrics["acc"], 0.5);
    assert_eq!(ran.receipt().log, ran.bytes.len() as u64);
}

#[test]
fn failure_status_functions_and_continue_on_error() {
    let host = Host::start();
    let mut soft = step("soft", "", "exit 7");
    soft.continue_on_error = "true".into();
    let ran = host.run(
        &job(vec![
            soft,
            step(
                "check",
                "",
                "test ${{ steps.soft.outcome }}-${{ steps.soft.conclusion }} = failure-success",
            ),
            step("hard", "", "exit 3"),
            step("skipped", "", "echo never"),
            step("also", "true", "echo never"),
            step("on_failure", "failure()", "echo failed"),
            step("always", "${{ always() }}", "echo always ${{ job.status }}"),
        ]),
        &[],
    );
    let receipt = ran.receipt();
    assert_eq!((receipt.conclusion, receipt.exit, receipt.failed_step), (Failure, Some(3), Some(2)));
    assert_eq!(receipt.class, Some(FailureClass::Failure));
    assert_eq!(receipt.reason.as_deref(), Some("exit 3"));
    assert_eq!(ran.log(), "failed\nalways failure\n");
    use Conclusion::{Failure, Skipped, Success};
    assert_eq!(
        ran.steps(),
        [
            (Failure, Success),
            (Success, Success),
            (Failure, Failure),
            (Skipped, Skipped),
            (Skipped, Skipped),
            (Success, Success),
            (Success, Success)
        ]
    );
}

#[test]
fn secrets_are_masked_across_writes_and_in_forms() {
    let host = Host::start();
    let mut spec = job(vec![
        script(
            "printf 'hun'; sleep 0.2; printf 'ter2secret and '; printf '%s' hunter2secret | base64; echo \"::add-mask::later\"; echo now later; echo '::error file=a.py,line=3::bad hunter2secret'",
        ),
        step("o", "", "echo v=hunter2secret >> $GITHUB_OUTPUT; exit 1"),
    ]);
    spec.steps[1].name = "uses ${{ secrets.S }}".into();
    spec.outputs = vec![("v".into(), "${{ steps.o.outputs.v }}".into())];
    let ran = host.run(&spec, &[("S", "hunter2secret")]);
    assert_eq!(ran.log().lines().next(), Some("*** and ***"));
    assert_eq!(ran.log().lines().nth(1), Some("now ***"));
    let said = format!("{:?} {:?} {}", ran.messages, ran.receipt, ran.log());
    assert!(!said.contains("hunter2secret") && said.contains("Skip output 'v'"), "{said}");
    let a = ran.annotations();
    assert_eq!((a[0].file.as_deref(), a[0].line, a[0].message.as_str()), (Some("a.py"), Some(3), "bad ***"));
}

#[test]
fn a_daemon_ends_with_its_job_and_does_not_hold_the_step() {
    let host = Host::start();
    let dir = files(&host);
    let d = dir.display();
    let started = Instant::now();
    let ran = host.run(
        &job(vec![
            script(&format!("setsid sh -c 'echo $$ > {d}/daemon; exec sleep 900' & (env -i sh -c 'echo $$ > {d}/bare; exec sleep 900' &); until [ -s {d}/daemon ] && [ -s {d}/bare ]; do sleep 0.01; done; echo done")),
            script(&format!("kill -0 $(cat {d}/daemon) && echo alive")),
        ]),
        &[],
    )
    .ok();
    assert!(started.elapsed() < Duration::from_mins(10));
    assert!(ran.log().starts_with("done\nalive\n"), "{}", ran.log());
    assert!(ran.log().contains("ended what the steps left running"), "{}", ran.log());
    for name in ["daemon", "bare"] {
        assert!(!lives(pid_of(&dir.join(name))), "{name} still runs");
    }
}

#[test]
fn timeouts_end_every_grandchild() {
    let host = Host::start();
    let dir = files(&host);
    let mut slow = script(&format!(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > {0}/deep; while :; do sleep 1; done' & wait",
        dir.display()
    ));
    slow.timeout_minutes = "${{ 0.05 }}".into();
    let ran = host.run(&job(vec![slow, step("", "always()", "echo after")]), &[]);
    assert_eq!(ran.receipt().class, Some(FailureClass::Timeout));
    assert!(ran.receipt().reason.as_deref().unwrap_or_default().starts_with("timed out after 3 s"));
    assert!(ran.log().ends_with("after\n"), "{}", ran.log());
    assert!(!lives(pid_of(&dir.join("deep"))));
}

/// The time of the job is over, that of `always()` steps is not: they run as long as they need.
#[test]
fn always_steps_run_after_the_end_of_the_jobs_time() {
    let host = Host::start();
    let mut spec = job(vec![
        script("sleep 60"),
        step("", "", "echo never"),
        step("", "always()", "sleep 0.7; echo after; sleep 0.1"),
        step("", "cancelled()", "echo last"),
    ]);
    // Enough for the first step to begin.
    spec.timeout_seconds = Some(2.5);
    let ran = host.run(&spec, &[]);
    let receipt = ran.receipt();
    assert_eq!((receipt.conclusion, receipt.class), (Conclusion::Failure, Some(FailureClass::Timeout)));
    assert_eq!(receipt.failed_step, Some(0));
    assert_eq!(receipt.reason.as_deref(), Some("timed out after 2.5 s (timeout-minutes of the job)"));
    assert!(ran.log().ends_with("after\nlast\n"), "{}", ran.log());
    let conclusions: Vec<_> = ran.steps().into_iter().map(|(_, conclusion)| conclusion).collect();
    assert_eq!(
        conclusions,
        [Conclusion::Failure, Conclusion::Skipped, Conclusion::Success, Conclusion::Success]
    );
}

/// `continue-on-error` of the step that runs then does not make the job a success.
#[test]
fn the_end_of_the_jobs_time_is_no_failure_to_continue_on() {
    let host = Host::start();
    let slow = StepSpec { continue_on_error: "true".into(), ..script("sleep 60") };
    let mut spec = job(vec![slow, step("", "", "echo never")]);
    spec.timeout_seconds = Some(2.0);
    let ran = host.run(&spec, &[]);
    let receipt = ran.receipt();
    assert_eq!((receipt.conclusion, receipt.class), (Conclusion::Failure, Some(FailureClass::Timeout)));
    assert_eq!(ran.steps()[1], (Conclusion::Skipped, Conclusion::Skipped));
}

#[test]
fn a_cancel_runs_always_steps_and_is_clean() {
    let host = Host::start();
    let dir = files(&host);
    let mut spec = job(vec![
        script(&format!(
            "trap 'echo bye; exit 0' TERM; echo $$ > {}/pid; while :; do sleep 0.05; done",
            dir.display()
        )),
        step("", "", "echo never"),
        step("", "cancelled()", "echo cleanup"),
    ]);
    // As long as it takes to say good-bye.
    spec.grace_seconds = 120.0;
    host.begin(&spec, &[]);
    let pid = pid_of(&dir.join("pid"));
    host.executor
        .send(&AgentRequest::Cancel { token: spec.token.clone(), reason: "stopped by hand".into() })
        .unwrap();
    let ran = host.finish(&spec);
    assert_eq!(ran.receipt().conclusion, Conclusion::Cancelled);
    assert_eq!(ran.receipt().reason.as_deref(), Some("stopped by hand"));
    assert!(
        ran.log().contains("bye\n") && ran.log().ends_with("cleanup\n") && !ran.log().contains("never"),
        "{}",
        ran.log()
    );
    assert!(!lives(pid));
}

#[test]
fn when_the_pipe_ends_everything_ends() {
    let host = Host::start();
    let dir = files(&host);
    let d = dir.display();
    host.begin(&job(vec![script(&format!("setsid sh -c 'echo $$ > {d}/escaped; exec sleep 300' & (env -i setsid sh -c 'echo $$ > {d}/bare; exec sleep 300' &) ; echo $$ > {d}/step; sleep 300"))]), &[]);
    let pids: Vec<u32> = ["escaped", "step", "bare"].iter().map(|f| pid_of(&dir.join(f))).collect();
    let supervisor = host.executor.pid();
    drop(host.executor);
    for pid in pids {
        assert!(!lives(pid));
    }
    assert!(!lives(supervisor));
    assert!(!dir.join("tmp").exists() || dir.join("tmp").read_dir().unwrap().next().is_none());
}

#[test]
fn odd_output_is_kept_as_it_is() {
    let host = Host::start();
    let ran = host.run(&job(vec![
        script("printf '\\000\\377\\n'; head -c 3000000 /dev/zero | tr '\\0' x; echo; exec >&- 2>&-; sleep 0.1"),
        script("echo ::stop-commands::tok; echo ::error::no; echo ::tok::; echo '::set-output name=a::b'"),
    ]), &[]).ok();
    assert!(ran.bytes.starts_with(b"\0\xff\n"));
    assert_eq!(String::from_utf8_lossy(&ran.bytes).matches('x').count(), 3_000_000);
    let said: Vec<_> = ran.annotations().iter().map(|a| a.level.clone()).collect();
    assert_eq!(said, ["warning"], "set-output is deprecated");
}

#[test]
fn a_background_writer_cannot_change_a_later_step() {
    let host = Host::start();
    let dir = files(&host);
    let d = dir.display();
    let late = format!(
        "(until [ -e {d}/go ]; do sleep 0.01; done; echo late=1 >> $GITHUB_OUTPUT; touch {d}/written) & echo early=1 >> $GITHUB_OUTPUT"
    );
    let both = format!(
        "touch {d}/go; until [ -e {d}/written ]; do sleep 0.01; done; echo \"${{{{ steps.a.outputs.early }}}}\""
    );
    let ran = host
        .run(
            &job(vec![
                step("a", "", &late),
                step("b", "", &both),
                step("c", "", "echo \"[${{ steps.a.outputs.late }}${{ steps.b.outputs.late }}]\""),
            ]),
            &[],
        )
        .ok();
    assert!(ran.log().starts_with("1\n[]\n"), "{}", ran.log());
}

#[test]
fn clear_words_for_what_cannot_start() {
    let host = Host::start();
    let with = |shell: &str, directory: Option<&str>| StepSpec {
        action: ActionSpec::Run {
            script: "true".into(),
            shell: Some(shell.into()),
            working_directory: directory.map(str::to_owned),
        },
        ..StepSpec::default()
    };
    for (step, words) in [
        (with("fish {0}", None), "the shell `fish` is not installed"),
        (with("fish", None), "neither one of bash"),
        (with("bash", Some("nowhere")), "does not exist"),
        (script("${{ fromJSON('x') }}"), "cannot evaluate"),
        (
            StepSpec {
                action: ActionSpec::Uses { uses: "o/r@v1".into(), with: vec![] },
                ..StepSpec::default()
            },
            "action of another repository",
        ),
        (
            StepSpec {
                action: ActionSpec::Uses { uses: "./none".into(), with: vec![] },
                ..StepSpec::default()
            },
            "there is no action.yml",
        ),
        (script("echo '::set-env name=A::b'"), "is disabled"),
        (script("echo nonsense >> $GITHUB_OUTPUT"), "Invalid format 'nonsense'"),
    ] {
        let ran = host.run(&job(vec![step]), &[]);
        let reason = ran.receipt().reason.clone().unwrap_or_default();
        assert!(reason.contains(words), "{reason}");
    }
}

/// Between fork and exec a process has the command line of its parent: what a killed supervisor has forked looks as it did.
/// It ends every orphan of its process, so it runs in one of its own.
#[test]
#[ignore = "called by the test below"]
fn orphans_are_ended() {
    use std::os::unix::process::CommandExt as _;
    let mut started: Vec<_> = ["tidegate_own_1_2_", "tidegate_other_1_2_"]
        .iter()
        .map(|mark| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "read -r line", "sh", "--supervise", "--mark", mark]);
            command.process_group(0).stdin(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    tidegate_edge::executor::local::end_orphans("tidegate_own_1_");
    let alive: Vec<bool> = started.iter().map(|child| lives(child.id())).collect();
    for child in &mut started {
        let _ = (child.kill(), child.wait());
    }
    println!("alive: {alive:?}");
}

#[test]
fn what_a_killed_supervisor_was_about_to_start_is_ended() {
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent::orphans_are_ended", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("alive: [false, true]"), "{said}");
}

#[test]
fn a_killed_supervisor_leaves_nothing() {
    let host = Host::start();
    let dir = files(&host);
    let d = dir.display();
    host.begin(
        &job(vec![script(&format!(
            "setsid sh -c 'echo $$ > {d}/escaped; exec sleep 300' & echo $$ > {d}/step; sleep 300"
        ))]),
        &[],
    );
    let pids: Vec<u32> = ["escaped", "step"].iter().map(|f| pid_of(&dir.join(f))).collect();
    tidegate_edge::agent::signal(host.executor.pid(), rustix::process::Signal::KILL);
    loop {
        if let ExecutorMessage::Gone { reason } = host.next() {
            assert!(reason.contains("signal: 9"), "{reason}");
            break;
        }
    }
    for pid in pids {
        assert!(!lives(pid));
    }
}
