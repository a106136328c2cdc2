//! `jobs`: one job, its environment and call. Not here: containers and strategy, in rooms of their own.

use super::reader::{Reader, WRONG_TYPE, has_expression, start_of};
use crate::source::{Diagnostic, Entry, Node, NodeKind, Pass, Span, Spanned};
use crate::workflow::{Call, Defaults, Env, Environment, Job, JobKind, JobMl};
use std::sync::Arc;

/// Keys of both kinds of job.
const SHARED: &[&str] = &["name", "needs", "if", "permissions", "concurrency", "strategy"];
/// Keys of a job with steps.
const STEPS: &[&str] = &[
    "runs-on",
    "timeout-minutes",
    "cancel-timeout-minutes",
    "continue-on-error",
    "container",
    "services",
    "env",
    "environment",
    "outputs",
    "defaults",
    "steps",
    "snapshot",
];
/// Keys of a call.
const CALL: &[&str] = &["uses", "with", "secrets"];
/// Tidegate's keys.
const ML: &[&str] = &[
    "python",
    "resources",
    "pod-template",
    "nodes",
    "queue",
    "spot",
    "retry",
    "checkpoint",
    "produces",
    "consumes",
    "metrics",
    "params",
    "cache",
];

/// What jobs have in common that do not say it.
#[derive(Default)]
struct Unsaid {
    defaults: Arc<Defaults>,
    ml: Arc<JobMl>,
}

impl Reader<'_> {
    pub(super) fn jobs(&mut self, node: &Node) -> Vec<Job> {
        let Some(entries) = self.map(node, "jobs") else { return Vec::new() };
        if entries.is_empty() {
            self.meaning("missing-key", start_of(node.span), "`jobs` has no job");
        }
        let unsaid = Unsaid::default();
        let mut jobs = Vec::with_capacity(entries.len());
        jobs.extend(entries.iter().filter_map(|e| self.job(e, &unsaid)));
        self.check_needs(&jobs, node.span);
        jobs
    }

    /// Reports a name that cannot be an id. Source: GitHub's page on `jobs.<job_id>`.
    pub(super) fn id(&mut self, text: &str, span: Span, what: &str) {
        let mut chars = text.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let problem = if text.len() >= 100 {
            Some("has 100 characters or more".to_owned())
        } else if text.starts_with("__") {
            Some("starts with `__`, which is kept for generated ids".to_owned())
        } else if !first || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            Some("is not made of letters, digits, `-` and `_`, starting with a letter or `_`".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            self.meaning("id", span, format!("the {what} id `{text}` {problem}"));
        }
    }

    /// Decides whether a job has steps or calls, by the first key that only one of them has, and
    /// reports the keys of the other.
    fn job_kind(&mut self, entries: &[Entry]) -> Option<bool> {
        let mut call = None;
        for entry in entries {
            let key = &*entry.key;
            let this = if CALL.contains(&key) {
                Some(true)
            } else if STEPS.contains(&key) || (self.tidegate() && ML.contains(&key)) {
                Some(false)
            } else {
                None
            };
            match (call, this) {
                (None, Some(_)) => call = this,
                (Some(a), Some(b)) if a != b => {
                    let kind = if a { "that calls a workflow" } else { "with steps" };
                    let message = format!("`{key}` does not go with a job {kind}");
                    self.error("unknown-key", entry.key_span, message);
                }
                _ => {}
            }
        }
        call
    }

    fn job(&mut self, entry: &Entry, unsaid: &Unsaid) -> Option<Job> {
        if entry.key.is_empty() {
            self.error("id", entry.key_span, "a job's id must not be empty");
            return None;
        }
        if !self.computed_key(entry, None) {
            self.id(&entry.key, entry.key_span, "job");
        }
        let node = &entry.value;
        let entries = self.map(node, "a job's keys")?;
        let call = self.job_kind(entries);
        let mut job = Job {
            id: Spanned::new(entry.key.to_string(), entry.key_span),
            name: None,
            needs: Vec::new(),
            condition: None,
            runs_on: None,
            container: None,
            services: Vec::new(),
            strategy: None,
            env: Env::default(),
            defaults: unsaid.defaults.clone(),
            outputs: Vec::new(),
            timeout_minutes: None,
            cancel_timeout_minutes: None,
            snapshot: None,
            continue_on_error: None,
            concurrency: None,
            environment: None,
            permissions: None,
            kind: JobKind::Steps(Vec::new()),
            ml: unsaid.ml.clone(),
            span: node.span,
        };
        let mut called = Call {
            uses: Spanned::new(String::new(), node.span),
            with: Vec::new(),
            secrets: Vec::new(),
            inherit_secrets: false,
        };
        for entry in entries {
            let is_call_key = CALL.contains(&&*entry.key);
            let other = call == Some(!is_call_key) && !SHARED.contains(&&*entry.key);
            if other && (is_call_key || STEPS.contains(&&*entry.key)) {
                continue;
            }
            if is_call_key {
                self.call_key(entry, &mut called);
            } else if !(self.job_key(entry, &mut job)
                || self.tidegate() && self.ml_key(entry, Arc::make_mut(&mut job.ml)))
            {
                let ml: &[&str] = if self.tidegate() { ML } else { &[] };
                let known: Vec<&str> = [SHARED, STEPS, CALL, ml].concat();
                self.unknown(entry, "a job", &known);
            }
        }
        let has = |key: &str| entries.iter().any(|e| &*e.key == key);
        match call {
            Some(true) => {
                if !has("uses") {
                    self.missing(node, "a job that calls a workflow", "uses");
                }
                job.kind = JobKind::Call(Box::new(called));
            }
            Some(false) => {
                if !has("runs-on") && !self.tidegate() {
                    self.missing(node, "a job", "runs-on");
                }
                if !has("steps") && self.tidegate() {
                    self.missing(node, "a job", "steps");
                }
            }
            None => self
                .incomplete(node, "a job has `steps`, or calls a workflow with `uses`; this one has neither"),
        }
        Some(job)
    }

    fn job_key(&mut self, entry: &Entry, job: &mut Job) -> bool {
        let value = &entry.value;
        match &*entry.key {
            "name" => job.name = self.template(value, "jobs.name", "the job's name"),
            "needs" => job.needs = self.words(value, "a job's id"),
            "if" => job.condition = self.condition(value, "jobs.if"),
            "permissions" => job.permissions = self.permissions(value).map(Box::new),
            "concurrency" => job.concurrency = self.concurrency(value, "jobs.concurrency").map(Box::new),
            "strategy" => job.strategy = self.strategy(value).map(Box::new),
            "runs-on" => job.runs_on = self.runs_on(value).map(Box::new),
            "timeout-minutes" => {
                let number = self.number(value, "jobs.timeout-minutes", "`timeout-minutes`");
                job.timeout_minutes = number.map(|n| Box::new(Spanned::new(n, value.span)));
            }
            "cancel-timeout-minutes" => {
                let number = self.number(value, "jobs.cancel-timeout-minutes", "`cancel-timeout-minutes`");
                job.cancel_timeout_minutes = number.map(|n| Box::new(Spanned::new(n, value.span)));
            }
            "continue-on-error" => {
                let given = self.boolean(value, "jobs.continue-on-error", "`continue-on-error`");
                job.continue_on_error = given.map(Box::new);
            }
            "container" => job.container = self.container(value, "jobs.container").map(Box::new),
            "services" => job.services = self.services(value),
            "env" => {
                job.env = self.env(value, "jobs.env");
                if job.env.expression.is_some() && !self.tidegate() {
                    let message = "a job's `env` is a map of variables; an expression cannot give it";
                    self.meaning(WRONG_TYPE, value.span, message);
                }
            }
            "environment" => job.environment = self.environment(value).map(Box::new),
            "outputs" => job.outputs = self.pairs(value, "jobs.outputs", "outputs"),
            "defaults" => job.defaults = Arc::new(self.defaults(value, "jobs.defaults.run")),
            "steps" => {
                if let Some(items) = self.list(value, "steps") {
                    job.kind = JobKind::Steps(self.steps(items, "jobs.steps"));
                }
            }
            "snapshot" => {
                self.snapshot(value);
                job.snapshot = Some(value.span);
            }
            _ => return false,
        }
        true
    }

    fn call_key(&mut self, entry: &Entry, call: &mut Call) {
        let value = &entry.value;
        match &*entry.key {
            "uses" => {
                if let Some(uses) = self.word(value, "the workflow to call") {
                    self.called_workflow(&uses);
                    call.uses = uses;
                }
            }
            "with" => {
                for input in self.map(value, "inputs").unwrap_or_default() {
                    let Some(name) = self.key_name(input, "inputs") else { continue };
                    if matches!(input.value.kind, NodeKind::Scalar(_)) {
                        call.with.push((name, self.tree(&input.value, "jobs.with")));
                    } else {
                        self.wrong(&input.value, "text, a number, true or false");
                    }
                }
            }
            "secrets" => {
                if matches!(&value.kind, NodeKind::Scalar(s) if &*s.text == "inherit") {
                    call.inherit_secrets = true;
                } else {
                    call.secrets = self.pairs(value, "jobs.secrets", "secrets");
                }
            }
            _ => {}
        }
    }

    /// `./path/file.yml` or `owner/repo/path/file.yml@ref`.
    fn called_workflow(&mut self, uses: &Spanned<String>) {
        let text = uses.value.as_str();
        let (path, reference) = text.split_once('@').map_or((text, None), |(p, r)| (p, Some(r)));
        let local = path.starts_with("./");
        let parts = path.split('/').filter(|p| !p.is_empty()).count();
        let file = path.rsplit('.').next().is_some_and(|e| e == "yml" || e == "yaml");
        let good = file
            && if local {
                reference.is_none()
            } else {
                parts >= 3 && reference.is_some_and(|r| !r.is_empty())
            };
        if !good && !has_expression(text) {
            // GitHub takes the file and fails the run.
            let report: fn(&'static str, Span, String) -> Diagnostic =
                if self.tidegate() { Diagnostic::error } else { Diagnostic::warning };
            let finding = report("uses", uses.span, format!("`{text}` names no workflow that can be called"))
                .pass(Pass::Meaning)
                .help("write `./.github/workflows/file.yml` or `owner/repo/.github/workflows/file.yml@ref`");
            self.findings.push(finding);
        }
    }

    fn environment(&mut self, node: &Node) -> Option<Environment> {
        let key = "jobs.environment";
        let NodeKind::Mapping(entries) = &node.kind else {
            let name = self.template(node, key, "the environment's name")?;
            return Some(Environment { name, url: None, deployment: None });
        };
        let (mut name, mut url, mut deployment) = (None, None, None);
        for entry in entries {
            match &*entry.key {
                "name" => name = self.template(&entry.value, key, "the environment's name"),
                "url" => url = self.template(&entry.value, "jobs.environment.url", "the address"),
                "deployment" => {
                    self.boolean(&entry.value, key, "`deployment`");
                    deployment = Some(self.tree(&entry.value, key));
                }
                _ => self.unknown(entry, "`environment`", &["name", "url", "deployment"]),
            }
        }
        if !entries.iter().any(|e| &*e.key == "name") {
            self.missing(node, "`environment`", "name");
        }
        Some(Environment { name: name?, url, deployment })
    }

    /// `snapshot` makes images of GitHub's own runners: checked, and nothing here runs it.
    fn snapshot(&mut self, node: &Node) {
        let NodeKind::Mapping(entries) = &node.kind else {
            let _ = self.word(node, "the image's name");
            return;
        };
        for entry in entries {
            match &*entry.key {
                "image-name" => drop(self.word(&entry.value, "the image's name")),
                "if" => drop(self.condition(&entry.value, "jobs.snapshot.if")),
                "version" => {
                    if let Some(version) = self.word(&entry.value, "the version") {
                        let good = version.value.split('.').enumerate().all(|(i, p)| {
                            p == "*" && i > 0 || (!p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
                        });
                        if !good {
                            self.error(WRONG_TYPE, version.span, "the version is like `1.*`");
                            self.lenient();
                        }
                    }
                }
                _ => self.unknown(entry, "`snapshot`", &["image-name", "if", "version"]),
            }
        }
        if !entries.iter().any(|e| &*e.key == "image-name") {
            self.missing(node, "`snapshot`", "image-name");
        }
    }
}
