//! The top of a file, `defaults`, `concurrency`, `permissions` and `data`.

use super::quoted::unquoted;
use super::reader::{MISSING_KEY, Reader, WRONG_TYPE, has_expression, start_of};
use crate::source::{Diagnostic, FileId, Node, NodeKind, Spanned};
use crate::workflow::{Concurrency, DataSource, Defaults, Dialect, Env, Permissions, Triggers, Workflow};

/// The scopes of `permissions` and the levels of each: a(ny), r(ead or none), w(rite or none).
const SCOPES: &[(&str, char)] = &[
    ("actions", 'a'),
    ("artifact-metadata", 'a'),
    ("attestations", 'a'),
    ("checks", 'a'),
    ("code-quality", 'a'),
    ("contents", 'a'),
    ("copilot-requests", 'w'),
    ("deployments", 'a'),
    ("discussions", 'a'),
    ("drives", 'a'),
    ("id-token", 'w'),
    ("issues", 'a'),
    ("models", 'r'),
    ("packages", 'a'),
    ("pages", 'a'),
    ("pull-requests", 'a'),
    ("repository-projects", 'a'),
    ("security-events", 'a'),
    ("statuses", 'a'),
    ("vulnerability-alerts", 'r'),
];

const KEYS: &[&str] = &["name", "run-name", "on", "env", "defaults", "concurrency", "permissions", "jobs"];
const TIDEGATE_KEYS: &[&str] =
    &["name", "run-name", "on", "env", "defaults", "concurrency", "permissions", "data", "jobs"];

/// Turns a file's tree into a workflow and everything that is wrong with its shape and types.
/// `text` is the file's text, for exact places inside scalars.
pub fn parse(node: &Node, text: &str, file: FileId, dialect: Dialect) -> (Workflow, Vec<Diagnostic>) {
    let mut reader = Reader { file, text, dialect, findings: Vec::new() };
    let workflow = reader.workflow(&unquoted(node, text));
    (workflow, reader.findings)
}

impl Reader<'_> {
    fn workflow(&mut self, node: &Node) -> Workflow {
        let mut workflow = Workflow {
            file: self.file,
            dialect: self.dialect,
            name: None,
            run_name: None,
            on: Triggers::default(),
            env: Env::default(),
            defaults: Defaults::default(),
            concurrency: None,
            permissions: None,
            data: Vec::new(),
            jobs: Vec::new(),
        };
        let empty = matches!(&node.kind, NodeKind::Scalar(s) if s.text.is_empty());
        if empty {
            let finding = Diagnostic::error(
                MISSING_KEY,
                node.span,
                "the file is empty; a workflow needs `on` and `jobs`",
            )
            .help("`tidegate init` writes a workflow to start from");
            self.findings.push(finding);
            return workflow;
        }
        let Some(entries) = self.map(node, "`on`, `jobs` and their like") else { return workflow };
        let (mut on, mut jobs) = (false, false);
        for entry in entries {
            let value = &entry.value;
            match &*entry.key {
                "name" => workflow.name = self.plain(value, "the workflow's name"),
                "description" if self.dialect == Dialect::Github => {
                    drop(self.plain(value, "the description"));
                }
                "run-name" => workflow.run_name = self.template(value, "run-name", "the run's name"),
                "on" => {
                    on = true;
                    workflow.on = self.triggers(value);
                }
                "env" => workflow.env = self.env(value, "env"),
                "defaults" => workflow.defaults = self.defaults(value, "defaults.run"),
                "concurrency" => workflow.concurrency = self.concurrency(value, "concurrency"),
                "permissions" => workflow.permissions = self.permissions(value),
                "data" if self.tidegate() => workflow.data = self.data_sources(value),
                "jobs" => {
                    jobs = true;
                    workflow.jobs = self.jobs(value);
                }
                _ => {
                    let known = if self.tidegate() { TIDEGATE_KEYS } else { KEYS };
                    self.unknown(entry, "a workflow", known);
                }
            }
        }
        if !jobs {
            self.missing(node, "a workflow", "jobs");
        }
        if !on {
            self.missing(node, "a workflow", "on");
        }
        workflow
    }

    pub(super) fn defaults(&mut self, node: &Node, key: &str) -> Defaults {
        let mut defaults = Defaults::default();
        let Some(entries) = self.map(node, "defaults") else { return defaults };
        for entry in entries {
            let value = &entry.value;
            match &*entry.key {
                "run" if matches!(&value.kind, NodeKind::Scalar(s) if has_expression(&s.text)) => {
                    if self.template(value, key, "`defaults.run`").is_some() {
                        self.error(
                            WRONG_TYPE,
                            value.span,
                            "`defaults.run` is a map; it is not computed here",
                        );
                        self.lenient();
                    }
                }
                "run" => {
                    let Some(run) = self.map(value, "defaults of `run`") else { continue };
                    for entry in run {
                        match &*entry.key {
                            "shell" => defaults.shell = self.filled(&entry.value, key, "the shell"),
                            "working-directory" => {
                                defaults.working_directory =
                                    self.filled(&entry.value, key, "the working directory");
                            }
                            _ => self.unknown(entry, "`defaults.run`", &["shell", "working-directory"]),
                        }
                    }
                }
                "container" if self.tidegate() => {
                    defaults.container = self.container(value, "jobs.container").map(Box::new);
                }
                "python" if self.tidegate() => defaults.python = self.python(value).map(Box::new),
                "pod-template" if self.tidegate() => {
                    defaults.pod_template = self.filled(value, "jobs.pod-template", "the template's path");
                }
                _ => {
                    let known: &[&str] = if self.tidegate() {
                        &["run", "container", "python", "pod-template"]
                    } else {
                        &["run"]
                    };
                    self.unknown(entry, "`defaults`", known);
                }
            }
        }
        defaults
    }

    pub(super) fn concurrency(&mut self, node: &Node, key: &str) -> Option<Concurrency> {
        let NodeKind::Mapping(entries) = &node.kind else {
            let group = if key == "concurrency" && !self.tidegate() {
                self.template(node, key, "the concurrency group")?
            } else {
                self.filled(node, key, "the concurrency group")?
            };
            return Some(Concurrency { group, cancel_in_progress: None, queue: None, span: node.span });
        };
        let (mut group, mut seen, mut cancel, mut queue) = (None, false, None, None);
        for entry in entries {
            match &*entry.key {
                "group" => {
                    seen = true;
                    group = self.filled(&entry.value, key, "the concurrency group");
                }
                "cancel-in-progress" => cancel = self.boolean(&entry.value, key, "`cancel-in-progress`"),
                "queue" => {
                    queue = self.word(&entry.value, "the queue").filter(|q| {
                        let known = q.value == "single" || q.value == "max";
                        if !known {
                            self.error(
                                WRONG_TYPE,
                                q.span,
                                format!("`queue` is `single` or `max`, not `{}`", q.value),
                            );
                        }
                        known
                    });
                }
                _ => self.unknown(entry, "`concurrency`", &["group", "cancel-in-progress", "queue"]),
            }
        }
        if !seen {
            self.missing(node, "`concurrency`", "group");
        }
        Some(Concurrency { group: group?, cancel_in_progress: cancel, queue, span: node.span })
    }

    pub(super) fn permissions(&mut self, node: &Node) -> Option<Permissions> {
        if let NodeKind::Scalar(_) = &node.kind {
            let word = self.plain(node, "`read-all` or `write-all`")?;
            if word.value != "read-all" && word.value != "write-all" {
                let message =
                    format!("`permissions` is `read-all`, `write-all` or a map, not '{}'", word.value);
                self.error("permissions", node.span, message);
                return None;
            }
            return Some(Permissions { all: Some(word), scopes: Vec::new(), span: node.span });
        }
        let mut scopes = Vec::new();
        for entry in self.map(node, "scopes and levels")? {
            let known: Vec<&str> = SCOPES.iter().map(|(s, _)| *s).collect();
            let Some((_, levels)) = SCOPES.iter().find(|(s, _)| *s == &*entry.key) else {
                self.unknown(entry, "`permissions`", &known);
                continue;
            };
            let levels: &[&str] = match levels {
                'r' => &["read", "none"],
                'w' => &["write", "none"],
                _ => &["read", "write", "none"],
            };
            let Some(level) = self.plain(&entry.value, "a level") else { continue };
            if levels.contains(&level.value.as_str()) {
                scopes.push((Spanned::new(entry.key.to_string(), entry.key_span), level));
            } else {
                let message = format!("`{}` is {}, not '{}'", entry.key, levels.join(" or "), level.value);
                self.error("permissions", entry.value.span, message);
            }
        }
        Some(Permissions { all: None, scopes, span: node.span })
    }

    fn data_sources(&mut self, node: &Node) -> Vec<DataSource> {
        let Some(entries) = self.map(node, "data sources") else { return Vec::new() };
        let mut sources = Vec::new();
        for entry in entries {
            let Some(name) = self.key_name(entry, "data sources") else { continue };
            let NodeKind::Mapping(keys) = &entry.value.kind else {
                if let Some(uri) = self.filled(&entry.value, "data.uri", "the source's uri") {
                    sources.push(DataSource { name, uri, include: Vec::new(), exclude: Vec::new() });
                }
                continue;
            };
            let (mut uri, mut include, mut exclude) = (None, Vec::new(), Vec::new());
            for key in keys {
                match &*key.key {
                    "uri" => uri = self.filled(&key.value, "data.uri", "the source's uri"),
                    "include" => include = self.words(&key.value, "a glob"),
                    "exclude" => exclude = self.words(&key.value, "a glob"),
                    _ => self.unknown(key, "a data source", &["uri", "include", "exclude"]),
                }
            }
            match uri {
                Some(uri) => sources.push(DataSource { name, uri, include, exclude }),
                None if !keys.iter().any(|k| &*k.key == "uri") => {
                    self.error(MISSING_KEY, start_of(entry.value.span), "a data source needs the key `uri`");
                }
                None => {}
            }
        }
        sources
    }
}
