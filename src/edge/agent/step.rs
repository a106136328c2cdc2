//! One step: condition, environment, retries, outcome and conclusion.

use super::control::Wish;
use super::job::Job;
use super::output::Trust;
use super::scope::{Failed, Scope};
use super::variables::set;
use std::time::{Duration, Instant};
use tidegate_flow::job::{ActionSpec, Conclusion, FailureClass, MessageBody, RetrySpec, StepSpec};
use tidegate_lang::value::{Object, Value};

/// How long the steps with `always()` have, together, after the job's time ended: as long as GitHub gives them
/// (GitHub, "Workflow cancellation reference").
pub(super) const LAST_STEPS: Duration = Duration::from_mins(5);

/// What one try of a step gave.
#[derive(Debug, Default)]
pub struct Tried {
    /// Outputs for `steps.<id>.outputs`.
    pub outputs: Vec<(String, String)>,
    /// Exit code of its process.
    pub exit: Option<i32>,
    /// Why it failed.
    pub failed: Option<Failed>,
    /// Whether the engine ended it.
    pub cancelled: bool,
    /// Whether the job's time ended under it: `continue-on-error` is about the step's own failures.
    pub job_over: bool,
}

impl Tried {
    /// A try that could not start.
    pub fn failed(failed: Failed) -> Self {
        Self { exit: failed.exit, failed: Some(failed), ..Self::default() }
    }
}

impl From<Result<Vec<(String, String)>, Failed>> for Tried {
    fn from(result: Result<Vec<(String, String)>, Failed>) -> Self {
        match result {
            Ok(outputs) => Self { outputs, ..Self::default() },
            Err(failed) => Self::failed(failed),
        }
    }
}

impl Job<'_> {
    /// Runs the steps of the job, or those of a composite action.
    pub(super) fn run_steps(&mut self, scope: &mut Scope, steps: &[StepSpec]) {
        for (index, step) in (0_u32..).zip(steps) {
            if self.link.control.wish() == Wish::Kill {
                self.cancelled = true;
                return;
            }
            if self.look_at_clock() {
                return;
            }
            if scope.depth == 0 {
                scope.top = index;
            }
            scope.action.clone_from(&step.id);
            self.run_step(scope, step);
        }
    }

    fn run_step(&mut self, scope: &mut Scope, step: &StepSpec) {
        let top = scope.depth == 0;
        // What is asked for from here on, the condition has not seen.
        self.patience = self.link.control.wish();
        let env = self.evaluate_layer(&step.env, scope, &[]);
        let runs = match &env {
            Ok(env) => self.holds(&step.condition, scope, env),
            Err(_) => Ok(!scope.failed && !self.stopping()),
        };
        let env_now = env.as_ref().map(Vec::as_slice).unwrap_or_default();
        let name = self.step_name(step, scope, env_now);
        if top {
            self.output.begin(scope.top, self.trust(env_now));
        }
        let log = self.output.written();
        match runs {
            Ok(false) => {
                // What a cancel or the end of time kept from running makes the job so.
                if self.stopping() && self.would_hold(&step.condition, scope, env_now) {
                    self.cancelled = true;
                }
                if top {
                    self.say_ended(scope.top, name, (Conclusion::Skipped, Conclusion::Skipped), None, None);
                }
                Self::record(scope, step, &[], Conclusion::Skipped, Conclusion::Skipped);
                return;
            }
            Ok(true) if top => {
                self.link.say(MessageBody::StepStarted { step: scope.top, name: name.clone(), log });
            }
            Err(_) if top => {
                self.link.say(MessageBody::StepStarted { step: scope.top, name: name.clone(), log });
            }
            _ => {}
        }
        let before = self.timed_out;
        let mut tried = match (runs, env) {
            (Err(failed), _) | (_, Err(failed)) => Tried::failed(failed),
            (_, Ok(env)) => match self.go(scope, step, &env) {
                Ok(true) => self.tries(scope, step, &env),
                Ok(false) => Tried {
                    cancelled: true,
                    ..Tried::failed(Failed::user(format!("cancelled: {}", self.link.control.reason())))
                },
                Err(failed) => Tried::failed(failed),
            },
        };
        tried.job_over = self.timed_out && !before;
        self.end_step(scope, step, name, tried);
    }

    /// Goes to where the step runs; tells whether it starts. A cancel that comes meanwhile keeps back what would
    /// not start after it.
    fn go(&mut self, scope: &Scope, step: &StepSpec, env: &[(String, String)]) -> Result<bool, Failed> {
        loop {
            let reached = self.reach(scope, step);
            let wish = self.link.control.wish();
            if wish == self.patience {
                return reached.map(|()| true);
            }
            self.patience = wish;
            if wish == Wish::Kill || !self.holds(&step.condition, scope, env)? {
                return Ok(false);
            }
            if reached.is_ok() {
                return Ok(true);
            }
        }
    }

    /// Goes to the container that the step runs in. What the agent does itself needs none.
    fn reach(&mut self, scope: &Scope, step: &StepSpec) -> Result<(), Failed> {
        if scope.depth > 0 || step.action.needs_no_container() {
            return Ok(());
        }
        match self.around.launcher.reach(scope.top, self.patience) {
            Ok(None) => {}
            Ok(Some(env)) => self.set_up(&env, scope.top)?,
            Err(error) => {
                let reason = format!("the container of the step: {error}");
                // What it was made of is wrong, or else it is gone.
                let wrong = error.kind() == std::io::ErrorKind::InvalidInput;
                return Err(Failed::new(
                    if wrong { FailureClass::Image } else { FailureClass::Lost },
                    reason,
                ));
            }
        }
        Ok(())
    }

    /// Notices that the job's time ended between two processes; tells whether nothing may start any more.
    fn look_at_clock(&mut self) -> bool {
        if self.deadline.is_none_or(|d| Instant::now() < d) {
            return false;
        }
        if self.timed_out {
            return true;
        }
        let seconds = self.spec.timeout_seconds.unwrap_or_default();
        self.time_is_up();
        self.fail_job(Failed::new(
            FailureClass::Timeout,
            format!("timed out after {seconds} s (timeout-minutes of the job)"),
        ));
        false
    }

    /// The job's time has ended; steps with `always()` get theirs.
    pub(super) fn time_is_up(&mut self) {
        self.timed_out = true;
        self.deadline = Instant::now().checked_add(LAST_STEPS);
    }

    fn end_step(&mut self, scope: &mut Scope, step: &StepSpec, name: String, tried: Tried) {
        let top = scope.depth == 0;
        let outcome = match (&tried.failed, tried.cancelled) {
            (_, true) => Conclusion::Cancelled,
            (Some(_), _) => Conclusion::Failure,
            (None, _) => Conclusion::Success,
        };
        self.cancelled |= tried.cancelled;
        let mut conclusion = outcome;
        if outcome == Conclusion::Failure && !tried.job_over && !step.continue_on_error.is_empty() {
            match self.value(&step.continue_on_error, scope, &[]) {
                Ok(Value::String(text)) if text.eq_ignore_ascii_case("true") => {
                    conclusion = Conclusion::Success;
                }
                Ok(Value::Bool(true)) => conclusion = Conclusion::Success,
                Ok(_) => {}
                Err(wrong) => self.output.note(&format!("##[error]{}", wrong.reason)),
            }
        }
        let reason = tried.failed.as_ref().map(|f| self.output.masks.apply(&f.reason));
        if let Some(reason) = &reason
            && (tried.exit.is_none() || !top)
        {
            self.output.note(&format!("##[error]{reason}"));
        }
        if top {
            self.output.end();
        }
        if conclusion == Conclusion::Failure {
            scope.failed = true;
            if let Some(mut failed) = tried.failed {
                if top {
                    failed.step = Some(scope.top);
                    self.fail_job(failed);
                } else {
                    scope.failure.get_or_insert(failed);
                }
            }
        }
        Self::record(scope, step, &tried.outputs, outcome, conclusion);
        if top {
            self.read_metrics(scope);
            self.say_ended(scope.top, name, (outcome, conclusion), tried.exit, reason);
        }
    }

    fn say_ended(
        &self,
        step: u32,
        name: String,
        (outcome, conclusion): (Conclusion, Conclusion),
        exit: Option<i32>,
        reason: Option<String>,
    ) {
        let log = self.output.written();
        self.link.say(MessageBody::StepEnded { step, name, outcome, conclusion, exit, reason, log });
    }

    /// Writes `steps.<id>`.
    fn record(
        scope: &mut Scope,
        step: &StepSpec,
        outputs: &[(String, String)],
        outcome: Conclusion,
        conclusion: Conclusion,
    ) {
        if step.id.is_empty() || step.id.starts_with("__") {
            return;
        }
        let word = |c| match c {
            Conclusion::Success => "success",
            Conclusion::Failure => "failure",
            Conclusion::Cancelled => "cancelled",
            Conclusion::Skipped => "skipped",
        };
        let mut values = Object::default();
        for (name, value) in outputs {
            values.insert(name.as_str(), Value::from(value.as_str()));
        }
        let mut entry = Object::default();
        entry.insert("outputs", Value::object(values));
        entry.insert("outcome", Value::from(word(outcome)));
        entry.insert("conclusion", Value::from(word(conclusion)));
        scope.steps.insert(step.id.as_str(), Value::object(entry));
    }

    /// Tries a step as often as its `retry` allows.
    fn tries(&mut self, scope: &mut Scope, step: &StepSpec, env: &[(String, String)]) -> Tried {
        let deadline = match self.step_deadline(step, scope, env) {
            Ok(deadline) => deadline,
            Err(failed) => return Tried::failed(failed),
        };
        let patience = self.patience;
        let mut attempt = 1;
        loop {
            let tried = self.act(scope, step, env, deadline);
            let (Some(failed), Some(retry)) = (&tried.failed, &step.retry) else { return tried };
            if tried.cancelled || self.stopping() || attempt >= retry.attempts || !retries(retry, failed) {
                return tried;
            }
            let pause = pause(retry, attempt);
            attempt += 1;
            self.output.note(&format!(
                "{}; try {attempt} of {} in {:.1} s",
                failed.reason,
                retry.attempts,
                pause.as_secs_f64()
            ));
            if self.link.control.sleep_until(Instant::now() + pause, patience) {
                return Tried { cancelled: true, ..tried };
            }
        }
    }

    fn step_deadline(
        &self,
        step: &StepSpec,
        scope: &Scope,
        env: &[(String, String)],
    ) -> Result<Option<Duration>, Failed> {
        if step.timeout_minutes.trim().is_empty() {
            return Ok(None);
        }
        let minutes = self.value(&step.timeout_minutes, scope, env)?.to_number();
        if !(minutes.is_finite() && minutes > 0.0) {
            return Err(Failed::user(format!(
                "`timeout-minutes: {}` is no positive number",
                step.timeout_minutes
            )));
        }
        Ok(Duration::try_from_secs_f64(minutes * 60.0).ok())
    }

    fn act(
        &mut self,
        scope: &mut Scope,
        step: &StepSpec,
        env: &[(String, String)],
        limit: Option<Duration>,
    ) -> Tried {
        let deadline = limit.and_then(|l| Instant::now().checked_add(l));
        match &step.action {
            ActionSpec::Run { script, shell, working_directory } => self.run_script(
                scope,
                env,
                (script, shell.as_deref(), working_directory.as_deref()),
                deadline,
                limit,
            ),
            ActionSpec::Uses { uses, with } => {
                self.link.flush();
                self.run_action(scope, env, uses, with)
            }
            ActionSpec::Gate(gate) => self.run_gate(scope, env, gate).into(),
            ActionSpec::Validate(validate) => {
                self.link.flush();
                self.run_validate(scope, env, validate).into()
            }
        }
    }

    fn step_name(&self, step: &StepSpec, scope: &Scope, env: &[(String, String)]) -> String {
        let template = match (&step.name, &step.action) {
            (name, _) if !name.is_empty() => name.clone(),
            (_, ActionSpec::Run { script, .. }) => {
                format!("Run {}", script.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default())
            }
            (_, ActionSpec::Uses { uses, .. }) => format!("Run {uses}"),
            (_, ActionSpec::Gate(_)) => "gate".to_owned(),
            (_, ActionSpec::Validate(v)) => format!("validate {}", v.data),
        };
        let name = self.text(&template, scope, env).unwrap_or(template);
        self.output.masks.apply(&name)
    }

    fn trust(&self, env: &[(String, String)]) -> Trust {
        let is_true = |name: &str| {
            let all = self.env.iter().chain(&self.added_env).chain(env);
            all.rev().find(|(n, _)| n == name).is_some_and(|(_, v)| v.trim().eq_ignore_ascii_case("true"))
        };
        Trust {
            commands: is_true("ACTIONS_ALLOW_UNSECURE_COMMANDS"),
            stop_tokens: is_true("ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS"),
        }
    }

    /// Takes over variables that a step set for later ones. `NODE_OPTIONS` is left out with an error
    /// that does not fail the step, as by GitHub's runner; names of the runner's own are kept, and
    /// its own values win over them where it has one.
    pub(super) fn add_env(&mut self, pairs: Vec<(String, String)>) {
        for (name, value) in pairs {
            if name.eq_ignore_ascii_case("NODE_OPTIONS") {
                let text = "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.";
                self.output.issue("error", text);
            } else {
                set(&mut self.added_env, name, value);
            }
        }
    }
}

fn retries(retry: &RetrySpec, failed: &Failed) -> bool {
    let class = failed.class;
    retry.on.iter().any(|on| {
        on == class.word()
            || failed.exit.is_some_and(|code| class == FailureClass::Failure && *on == format!("exit:{code}"))
    })
}

fn pause(retry: &RetrySpec, attempt: u32) -> Duration {
    Duration::try_from_secs_f64(retry.backoff_seconds(attempt)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
