//! What expressions see while a job runs: contexts, status functions, files to hash.

use super::control::Wish;
use super::hash_files::hash_files_in;
use super::job::Job;
use serde_json::Value as Json;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_flow::job::{EnvLayer, FailureClass};
use tidegate_lang::expr::{AnyNames, EvalError, Host, Status, Template};
use tidegate_lang::source::Span;
use tidegate_lang::value::{Object, Value};

/// Why a step or a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its class.
    pub class: FailureClass,
    /// Exit code of the process, if there was one.
    pub exit: Option<i32>,
    /// One line, not yet masked.
    pub reason: String,
    /// Index of the job's step.
    pub step: Option<u32>,
}

impl Failed {
    /// Makes one without a step.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, exit: None, reason: reason.into(), step: None }
    }

    /// The user's file or program is wrong.
    pub fn user(reason: impl Into<String>) -> Self {
        Self::new(FailureClass::Failure, reason)
    }
}

/// Steps that belong together: the job's, or those of one use of a composite action.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The `steps` context.
    pub steps: Object,
    /// `inputs` of the action; `None`: the job's.
    pub inputs: Option<Value>,
    /// Variables of the `uses` step around.
    pub env: Vec<(String, String)>,
    /// The action's folder.
    pub action_path: Option<PathBuf>,
    /// Id of the running step, or of the step that uses the action: `github.action`.
    pub action: String,
    /// Whether a step failed.
    pub failed: bool,
    /// Why the first of an action's steps failed.
    pub failure: Option<Failed>,
    /// How deep actions are nested.
    pub depth: u32,
    /// Index of the job's step around.
    pub top: u32,
}

/// What the status functions say at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// They are not legal.
    None,
    /// How the job stands.
    Real,
    /// How it would stand without a cancel or the end of its time.
    AsIfNotStopped,
}

/// One place where expressions are evaluated.
pub struct View<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) scope: &'a Scope,
    /// Variables of the step.
    pub(super) env: &'a [(String, String)],
    pub(super) status: Functions,
}

impl Host for View<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        let name = name.to_ascii_lowercase();
        let object = |entries: Vec<(&str, Value)>| {
            Value::object(entries.into_iter().map(|(k, v)| (Arc::from(k), v)).collect::<Object>())
        };
        Some(match name.as_str() {
            "env" => {
                let mut env = Object::default();
                let job = self.job;
                for (k, v) in job.env.iter().chain(&job.added_env).chain(&self.scope.env).chain(self.env) {
                    env.insert(k.as_str(), Value::from(v.as_str()));
                }
                Value::object(env)
            }
            "steps" => Value::object(self.scope.steps.clone()),
            "job" => object(vec![("status", Value::from(self.job.status_word()))]),
            "runner" => Value::object(self.job.runner()),
            "metrics" => Value::from(&Json::Object(self.job.metrics.clone().into_iter().collect())),
            "secrets" => Value::object(
                self.job
                    .secrets
                    .iter()
                    .map(|(k, v)| (Arc::from(k.as_str()), Value::from(v.as_str())))
                    .collect(),
            ),
            "github" => self.github(),
            "inputs" if self.scope.inputs.is_some() => self.scope.inputs.clone().unwrap_or_default(),
            _ => Value::from(self.job.spec.contexts.iter().find(|(k, _)| k.eq_ignore_ascii_case(&name))?.1),
        })
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        hash_files_in(&self.job.fence, &self.job.place.project, patterns)
    }

    fn status(&self) -> Option<Status> {
        let cancelled = match self.status {
            Functions::None => return None,
            Functions::Real => self.job.stopping(),
            Functions::AsIfNotStopped => false,
        };
        let failed = self.scope.failed;
        Some(Status { success: !failed && !cancelled, failure: failed && !cancelled, cancelled })
    }
}

impl View<'_> {
    fn github(&self) -> Value {
        let mut github = self.job.github();
        github.insert("action", Value::from(self.scope.action.as_str()));
        if let Some(path) = &self.scope.action_path {
            github.insert("action_path", Value::from(path.to_string_lossy().as_ref()));
            let status = if self.scope.failed { "failure" } else { "success" };
            github.insert("action_status", Value::from(status));
        }
        Value::object(github)
    }
}

impl Job<'_> {
    /// The `github` context as the job sees it.
    pub(super) fn github(&self) -> Object {
        let mut github = match self.spec.contexts.get("github").map(Value::from) {
            Some(Value::Object(o)) => o.as_ref().clone(),
            _ => Object::default(),
        };
        github.insert("workspace", Value::from(self.place.project.to_string_lossy().as_ref()));
        github.insert("job", Value::from(self.spec.job.as_str()));
        if github.get("event").is_some() {
            github.insert("event_path", Value::from(self.event_path().to_string_lossy().as_ref()));
        }
        github
    }

    /// Where the event's payload is written.
    pub(super) fn event_path(&self) -> PathBuf {
        self.temp.join("event.json")
    }

    /// The `runner` context.
    pub(super) fn runner(&self) -> Object {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "X64",
            "aarch64" => "ARM64",
            "arm" => "ARM",
            _ => "X86",
        };
        let os = if cfg!(target_os = "macos") { "macOS" } else { "Linux" };
        let path = |p: PathBuf| Value::from(p.to_string_lossy().as_ref());
        let mut runner = Object::default();
        runner.insert("name", Value::from("tidegate"));
        runner.insert("os", Value::from(os));
        runner.insert("arch", Value::from(arch));
        runner.insert("environment", Value::from("self-hosted"));
        runner.insert("temp", path(self.temp.join("_temp")));
        runner.insert("tool_cache", path(self.around.tools.clone()));
        runner.insert("workspace", path(self.place.root.clone()));
        if self.spec.debug {
            runner.insert("debug", Value::from("1"));
        }
        runner
    }

    /// The `job.status` of this moment.
    pub(super) fn status_word(&self) -> &'static str {
        if self.link.control.wish() != Wish::Run {
            "cancelled"
        } else if self.failed.is_some() {
            "failure"
        } else {
            "success"
        }
    }

    /// Evaluates a template as text.
    pub(super) fn text(&self, raw: &str, scope: &Scope, env: &[(String, String)]) -> Result<String, Failed> {
        if !raw.contains("${{") {
            return Ok(raw.to_owned());
        }
        Ok(self.value(raw, scope, env)?.to_text().to_string())
    }

    /// Evaluates a template and keeps its type.
    pub(super) fn value(&self, raw: &str, scope: &Scope, env: &[(String, String)]) -> Result<Value, Failed> {
        if !raw.contains("${{") {
            return Ok(Value::from(raw));
        }
        let text: Arc<str> = Arc::from(raw);
        let wrong = |e: EvalError| Failed::user(format!("cannot evaluate `{}`: {}", raw.trim(), e.message));
        let view = View { job: self, scope, env, status: Functions::None };
        Template::parse(&text, Span::default(), &AnyNames).and_then(|t| t.evaluate(&view)).map_err(wrong)
    }

    /// Evaluates an `if`.
    pub(super) fn holds(&self, raw: &str, scope: &Scope, env: &[(String, String)]) -> Result<bool, Failed> {
        let view = View { job: self, scope, env, status: Functions::Real };
        if raw.trim().is_empty() {
            return Ok(view.status().is_some_and(|s| s.success));
        }
        Template::condition(&Arc::from(raw), Span::default(), &AnyNames)
            .and_then(|t| t.holds(&view))
            .map_err(|e| Failed::user(format!("cannot evaluate `if: {}`: {}", raw.trim(), e.message)))
    }

    /// Tells whether a step would run, had nobody stopped the job.
    pub(super) fn would_hold(&self, raw: &str, scope: &Scope, env: &[(String, String)]) -> bool {
        if raw.trim().is_empty() {
            return !scope.failed;
        }
        let view = View { job: self, scope, env, status: Functions::AsIfNotStopped };
        Template::condition(&Arc::from(raw), Span::default(), &AnyNames)
            .and_then(|t| t.holds(&view))
            .unwrap_or(false)
    }

    /// Evaluates one expression that must be true, such as an entry of a gate's `expect`.
    pub(super) fn truth(&self, raw: &str, scope: &Scope, env: &[(String, String)]) -> Result<bool, Failed> {
        let view = View { job: self, scope, env, status: Functions::None };
        Template::condition(&Arc::from(raw), Span::default(), &AnyNames)
            .and_then(|t| t.evaluate(&view))
            .map(|v| v.truthy())
            .map_err(|e| Failed::user(format!("cannot evaluate `{}`: {}", raw.trim(), e.message)))
    }

    /// Evaluates an `env` mapping.
    pub(super) fn evaluate_layer(
        &self,
        layer: &EnvLayer,
        scope: &Scope,
        env: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Failed> {
        let mut made = Vec::with_capacity(layer.variables.len());
        if let Some(whole) = &layer.expression {
            match self.value(whole, scope, env)? {
                Value::Object(map) => {
                    made.extend(map.iter().map(|(k, v)| (k.to_string(), v.to_text().to_string())));
                }
                Value::Null => {}
                other => {
                    return Err(Failed::user(format!(
                        "`env: {whole}` gives {}, not a mapping",
                        other.kind()
                    )));
                }
            }
        }
        for (name, template) in &layer.variables {
            made.push((name.clone(), self.text(template, scope, env)?));
        }
        Ok(made)
    }
}
