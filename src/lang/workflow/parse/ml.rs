//! Tidegate's own keys of jobs, and of any step. Not here: its kinds of steps (`ml_step`).

use super::reader::{Reader, WRONG_TYPE, has_expression};
use super::trigger::is_null;
use crate::expr::Template;
use crate::source::{Entry, Node, NodeKind, Spanned};
use crate::workflow::{
    Cache, Checkpoint, Consume, Dynamic, JobMl, Metrics, Produce, Python, Queue, Resources, Retry, Tree,
};

/// What `retry.on` may name, besides `exit:N`.
const CLASSES: &[&str] =
    &["failure", "timeout", "oom", "preempted", "lost", "disk", "image", "unschedulable", "data"];

fn is_duration(text: &str) -> bool {
    crate::workflow::duration(text).is_some()
}

fn is_quantity(text: &str) -> bool {
    crate::workflow::quantity(text).is_some()
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

impl Reader<'_> {
    pub(super) fn ml_key(&mut self, entry: &Entry, ml: &mut JobMl) -> bool {
        let value = &entry.value;
        match &*entry.key {
            "python" => ml.python = self.python(value).map(Box::new),
            "resources" => ml.resources = self.resources(value, "jobs.resources").map(Box::new),
            "pod-template" => {
                ml.pod_template = self.filled(value, "jobs.pod-template", "the template's path");
            }
            "nodes" => {
                let number = self.number(value, "jobs.nodes", "`nodes`");
                ml.nodes = number.map(|n| Spanned::new(n, value.span));
            }
            "queue" => ml.queue = self.queue(value).map(Box::new),
            "spot" => ml.spot = Some(self.spot(value)),
            "retry" => ml.retry = self.retry(value, "jobs.retry").map(Box::new),
            "checkpoint" => ml.checkpoint = self.checkpoint(value).map(Box::new),
            "produces" => ml.produces = self.produces(value),
            "consumes" => ml.consumes = self.consumes(value),
            "metrics" => ml.metrics = self.metrics(value),
            "params" => ml.params = self.metrics(value),
            "cache" => ml.cache = self.cache(value).map(Box::new),
            _ => return false,
        }
        true
    }

    pub(super) fn python(&mut self, node: &Node) -> Option<Python> {
        let key = "jobs.python";
        let mut python = Python { version: None, requirements: None, packages: Vec::new(), span: node.span };
        for entry in self.map(node, "`version`, `requirements` and `packages`")? {
            match &*entry.key {
                // As written: 3.10 is a version, not a number.
                "version" => {
                    let NodeKind::Scalar(s) = &entry.value.kind else {
                        self.wrong(&entry.value, "a version such as \"3.11\"");
                        continue;
                    };
                    if s.text.is_empty() || is_null(&entry.value) {
                        self.wrong(&entry.value, "a version such as \"3.11\"");
                    }
                    python.version = if has_expression(&s.text) {
                        self.template(&entry.value, key, "the version")
                    } else {
                        Some(Template::literal(s.text.clone(), entry.value.span))
                    };
                }
                "requirements" => {
                    python.requirements = self.filled(&entry.value, key, "the requirements file");
                }
                "packages" => python.packages = self.templates(&entry.value, key, "a package"),
                _ => self.unknown(entry, "`python`", &["version", "requirements", "packages"]),
            }
        }
        Some(python)
    }

    pub(super) fn resources(&mut self, node: &Node, key: &str) -> Option<Resources> {
        let mut resources = Resources::default();
        for entry in self.map(node, "`cpu`, `memory`, `gpu` and their like")? {
            let value = &entry.value;
            match &*entry.key {
                "cpu" => resources.cpu = self.quantity(value, key, "cores such as `4` or `500m`"),
                "memory" => resources.memory = self.quantity(value, key, "bytes such as `16Gi`"),
                "ephemeral-storage" => {
                    resources.ephemeral_storage = self.quantity(value, key, "bytes such as `50Gi`");
                }
                "shm" => resources.shm = self.quantity(value, key, "bytes such as `8Gi`"),
                "gpu" => {
                    if let NodeKind::Mapping(entries) = &value.kind {
                        for entry in entries {
                            let known = ["count", "vendor", "product", "memory", "mig", "resource"];
                            if !known.contains(&&*entry.key) {
                                self.unknown(entry, "`gpu`", &known);
                            }
                            if &*entry.key == "product" && is_null(&entry.value) {
                                self.wrong(&entry.value, "a product, or a list of them");
                            }
                        }
                        self.literals(value, &["count"], "a number", is_number);
                    } else {
                        self.number(value, key, "`gpu`");
                    }
                    resources.gpu = Some(self.tree(value, key));
                }
                _ => {
                    self.unknown(entry, "`resources`", &["cpu", "memory", "ephemeral-storage", "shm", "gpu"]);
                }
            }
        }
        Some(resources)
    }

    fn quantity(&mut self, node: &Node, key: &str, what: &str) -> Option<Template> {
        let template = self.filled(node, key, what)?;
        if template.is_literal() && crate::workflow::quantity(&template.raw).is_none() {
            self.wrong(node, what);
        }
        Some(template)
    }

    fn span_of_time(&mut self, node: &Node, key: &str) -> Option<Template> {
        let template = self.filled(node, key, "a duration such as `90s`")?;
        if template.is_literal() && crate::workflow::duration(&template.raw).is_none() {
            self.wrong(node, "a duration such as `90s`, `5m`, `1h30m`");
        }
        Some(template)
    }

    pub(super) fn retry(&mut self, node: &Node, key: &str) -> Option<Retry> {
        let mut retry =
            Retry { attempts: None, on: Vec::new(), infra: None, backoff: None, oom: None, span: node.span };
        if let NodeKind::Scalar(_) = &node.kind {
            let attempts = self.number(node, key, "`retry`")?;
            retry.attempts = Some(Spanned::new(attempts, node.span));
            return Some(retry);
        }
        for entry in self.map(node, "`attempts`, `on`, `backoff`")? {
            let value = &entry.value;
            match &*entry.key {
                "attempts" => retry.attempts = self.count(value, key, "`attempts`", 1.0),
                "infra" => retry.infra = self.count(value, key, "`infra`", 0.0),
                "on" => {
                    retry.on = self.words(value, "a failure class");
                    for class in retry.on.clone() {
                        self.failure_class(&class);
                    }
                }
                "backoff" => {
                    self.fields(value, "backoff", &["initial", "factor", "max", "jitter"]);
                    self.literals(value, &["initial", "max"], "a duration such as `10s`", is_duration);
                    self.literals(value, &["factor", "jitter"], "a number", is_number);
                    retry.backoff = Some(self.tree(value, key));
                }
                "oom" => {
                    self.fields(value, "oom", &["memory-factor", "max-memory"]);
                    self.literals(value, &["memory-factor"], "a number", is_number);
                    self.literals(value, &["max-memory"], "bytes such as `64Gi`", is_quantity);
                    retry.oom = Some(self.tree(value, key));
                }
                _ => self.unknown(entry, "`retry`", &["attempts", "on", "infra", "backoff", "oom"]),
            }
        }
        Some(retry)
    }

    fn count(&mut self, node: &Node, key: &str, what: &str, least: f64) -> Option<Spanned<Dynamic<f64>>> {
        let number = self.number(node, key, what)?;
        if let Dynamic::Fixed(n) = &number
            && (*n < least || n.fract() != 0.0)
        {
            self.error(WRONG_TYPE, node.span, format!("{what} is a whole number of at least {least}"));
        }
        Some(Spanned::new(number, node.span))
    }

    fn failure_class(&mut self, class: &Spanned<String>) {
        let word = class.value.as_str();
        let exit = word.strip_prefix("exit:").is_some_and(|n| n.parse::<u8>().is_ok());
        if word == "gate" {
            self.error(
                WRONG_TYPE,
                class.span,
                "a gate's answer does not change by asking again: `gate` is not retried",
            );
        } else if !exit && !CLASSES.contains(&word) {
            let message =
                format!("there is no failure class `{word}`; there are {} and exit:N", CLASSES.join(" "));
            self.error(WRONG_TYPE, class.span, message);
        }
    }

    fn checkpoint(&mut self, node: &Node) -> Option<Checkpoint> {
        let key = "jobs.checkpoint";
        let NodeKind::Mapping(entries) = &node.kind else {
            let path = self.filled(node, key, "the checkpoint folder")?;
            return Some(Checkpoint { path, every: None, grace: None, volume: None });
        };
        let (mut path, mut every, mut grace, mut volume) = (None, None, None, None);
        for entry in entries {
            match &*entry.key {
                "path" => path = self.filled(&entry.value, key, "the checkpoint folder"),
                "volume" => volume = self.filled(&entry.value, key, "the name of a claim"),
                "every" => every = self.span_of_time(&entry.value, key),
                "grace" => grace = self.span_of_time(&entry.value, key),
                _ => self.unknown(entry, "`checkpoint`", &["path", "every", "grace", "volume"]),
            }
        }
        if !entries.iter().any(|e| &*e.key == "path") {
            self.missing(node, "`checkpoint`", "path");
        }
        Some(Checkpoint { path: path?, every, grace, volume })
    }

    fn produces(&mut self, node: &Node) -> Vec<Produce> {
        let key = "jobs.produces";
        let mut produces = Vec::new();
        for entry in self.map(node, "artifacts and paths").unwrap_or_default() {
            let Some(name) = self.key_name(entry, "artifacts") else { continue };
            let NodeKind::Mapping(keys) = &entry.value.kind else {
                if let Some(path) = self.filled(&entry.value, key, "the path") {
                    produces.push(Produce { name, path, ignore_missing: false });
                }
                continue;
            };
            let (mut path, mut ignore_missing) = (None, false);
            for key_entry in keys {
                match &*key_entry.key {
                    "path" => path = self.filled(&key_entry.value, key, "the path"),
                    "if-missing" => {
                        let word = self.word(&key_entry.value, "`if-missing`");
                        match word.as_ref().map(|w| w.value.as_str()) {
                            Some("ignore") => ignore_missing = true,
                            Some("fail") | None => {}
                            Some(_) => self.wrong(&key_entry.value, "`fail` or `ignore`"),
                        }
                    }
                    _ => self.unknown(key_entry, "an artifact", &["path", "if-missing"]),
                }
            }
            match path {
                Some(path) => produces.push(Produce { name, path, ignore_missing }),
                None => self.missing(&entry.value, "an artifact", "path"),
            }
        }
        produces
    }

    fn consumes(&mut self, node: &Node) -> Vec<Consume> {
        let key = "jobs.consumes";
        let mut consumes = Vec::new();
        for entry in self.map(node, "paths and what goes there").unwrap_or_default() {
            let Some(path) = self.key_name(entry, "paths") else { continue };
            let NodeKind::Mapping(keys) = &entry.value.kind else {
                if let Some(from) = self.filled(&entry.value, key, "an artifact") {
                    consumes.push(Consume { path, from, shared: false });
                }
                continue;
            };
            let (mut from, mut shared) = (None, false);
            for key_entry in keys {
                match &*key_entry.key {
                    "from" => from = self.filled(&key_entry.value, key, "an artifact"),
                    "mount" => {
                        match self.word(&key_entry.value, "`mount`").as_ref().map(|w| w.value.as_str()) {
                            Some("shared") => shared = true,
                            Some("copy") | None => {}
                            Some(_) => self.wrong(&key_entry.value, "`shared` or `copy`"),
                        }
                    }
                    _ => self.unknown(key_entry, "what is consumed", &["from", "mount"]),
                }
            }
            match from {
                Some(from) => consumes.push(Consume { path, from, shared }),
                None => self.missing(&entry.value, "what is consumed", "from"),
            }
        }
        consumes
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads like its siblings")]
    fn metrics(&mut self, node: &Node) -> Option<Metrics> {
        let key = "jobs.metrics";
        let NodeKind::Mapping(entries) = &node.kind else {
            let files = self.templates(node, key, "a file");
            return Some(Metrics { files, goals: Vec::new(), span: node.span });
        };
        let mut metrics = Metrics { files: Vec::new(), goals: Vec::new(), span: node.span };
        for entry in entries {
            match &*entry.key {
                "files" => metrics.files = self.templates(&entry.value, key, "a file"),
                "goals" => {
                    for goal in self.map(&entry.value, "metrics and `max` or `min`").unwrap_or_default() {
                        let Some(name) = self.key_name(goal, "metrics") else { continue };
                        let Some(word) = self.word(&goal.value, "`max` or `min`") else { continue };
                        if word.value != "max" && word.value != "min" {
                            self.wrong(&goal.value, "`max` or `min`");
                        }
                        metrics.goals.push((name, word));
                    }
                }
                _ => self.unknown(entry, "`metrics`", &["files", "goals"]),
            }
        }
        Some(metrics)
    }

    fn cache(&mut self, node: &Node) -> Option<Cache> {
        let key = "jobs.cache";
        let mut cache = Cache {
            enabled: Dynamic::Fixed(true),
            inputs: Vec::new(),
            key: None,
            version: None,
            span: node.span,
        };
        let NodeKind::Mapping(entries) = &node.kind else {
            cache.enabled = self.boolean(node, key, "`cache`")?;
            return Some(cache);
        };
        for entry in entries {
            match &*entry.key {
                "inputs" => cache.inputs = self.templates(&entry.value, key, "a glob"),
                "key" => cache.key = self.filled(&entry.value, key, "the key"),
                "version" => cache.version = self.filled(&entry.value, key, "the version"),
                _ => self.unknown(entry, "`cache`", &["inputs", "key", "version"]),
            }
        }
        Some(cache)
    }

    fn queue(&mut self, node: &Node) -> Option<Queue> {
        let key = "jobs.queue";
        let NodeKind::Mapping(entries) = &node.kind else {
            return Some(Queue { name: self.filled(node, key, "the queue")?, priority: None });
        };
        let (mut name, mut priority) = (None, None);
        for entry in entries {
            match &*entry.key {
                "name" => name = self.filled(&entry.value, key, "the queue"),
                "priority" => priority = self.filled(&entry.value, key, "the name of a priority class"),
                _ => self.unknown(entry, "`queue`", &["name", "priority"]),
            }
        }
        if !entries.iter().any(|e| &*e.key == "name") {
            self.missing(node, "`queue`", "name");
        }
        Some(Queue { name: name?, priority })
    }

    fn spot(&mut self, node: &Node) -> Tree {
        let good = match &node.kind {
            NodeKind::Mapping(_) => {
                self.fields(node, "spot", &["fallback"]);
                true
            }
            NodeKind::Scalar(s) => has_expression(&s.text) || matches!(&*s.text, "true" | "false"),
            NodeKind::Sequence(_) => false,
        };
        if !good {
            self.wrong(node, "`true`, `false` or `{ fallback: on-demand }`");
        }
        self.tree(node, "jobs.spot")
    }

    /// Checks that some keys of a map hold a scalar of a kind, or an expression.
    fn literals(&mut self, node: &Node, keys: &[&str], wanted: &str, good: fn(&str) -> bool) {
        let NodeKind::Mapping(entries) = &node.kind else { return };
        for entry in entries.iter().filter(|e| keys.contains(&&*e.key)) {
            let fits = match &entry.value.kind {
                NodeKind::Scalar(s) => has_expression(&s.text) || good(&s.text),
                _ => false,
            };
            if !fits {
                self.wrong(&entry.value, wanted);
            }
        }
    }
}
