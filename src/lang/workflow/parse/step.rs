//! `steps`, of jobs and of composite actions.

use super::reader::{Reader, WRONG_TYPE, has_expression};
use super::trigger::is_null;
use crate::source::{Diagnostic, Entry, Node, NodeKind, Pass, Span, Spanned};
use crate::workflow::{Action, Deploy, Env, Register, Run, Step, Uses};
use std::collections::HashMap;

const SHARED: &[&str] = &["name", "id", "if", "env", "continue-on-error", "timeout-minutes"];
const ML_SHARED: &[&str] = &["container", "resources", "retry"];

/// The kinds of steps: the key that makes one, and the keys that only it has.
const KINDS: &[(&str, &[&str], bool)] = &[
    ("run", &["shell", "working-directory", "background"], false),
    ("uses", &["with", "background"], false),
    ("wait", &[], false),
    ("wait-all", &[], false),
    ("cancel", &[], false),
    ("parallel", &[], false),
    ("gate", &[], true),
    ("validate", &[], true),
    ("notebook", &[], true),
    ("register", &[], true),
    ("deploy", &[], true),
];

impl Reader<'_> {
    pub(super) fn steps(&mut self, items: &[Node], key: &str) -> Vec<Step> {
        let mut steps = Vec::with_capacity(items.len());
        let mut ids: HashMap<String, Spanned<String>> = HashMap::new();
        for item in items {
            let Some(step) = self.step(item, key) else { continue };
            if let Some(id) = &step.id {
                if let Some(first) = ids.get(&id.value.to_lowercase()) {
                    let message = format!("the step id `{}` is used twice", id.value);
                    let finding = Diagnostic::error("duplicate-id", id.span, message)
                        .pass(Pass::Meaning)
                        .related(first.span, "first used here");
                    self.findings.push(finding);
                } else {
                    ids.insert(id.value.to_lowercase(), id.clone());
                }
            }
            steps.push(step);
        }
        steps
    }

    /// Narrows the kinds of step down by each key, as it stands in the file.
    fn step_kind(&mut self, node: &Node, entries: &[Entry]) -> Option<&'static str> {
        let mut left: Vec<&(&str, &[&str], bool)> =
            KINDS.iter().filter(|k| self.tidegate() || !k.2).collect();
        for entry in entries {
            let key = &*entry.key;
            if SHARED.contains(&key) || (self.tidegate() && ML_SHARED.contains(&key)) {
                continue;
            }
            let fits: Vec<_> =
                left.iter().copied().filter(|(k, own, _)| *k == key || own.contains(&key)).collect();
            if fits.is_empty() {
                let other = KINDS.iter().any(|(k, own, _)| *k == key || own.contains(&key));
                if other && left.len() < KINDS.len() - 3 {
                    let kind = left.first().map_or("run", |k| k.0);
                    let message = format!("`{key}` does not go with `{kind}` in one step");
                    self.error("unknown-key", entry.key_span, message);
                } else {
                    let known: Vec<&str> = SHARED
                        .iter()
                        .copied()
                        .chain(
                            KINDS
                                .iter()
                                .filter(|k| self.tidegate() || !k.2)
                                .flat_map(|k| std::iter::once(k.0).chain(k.1.iter().copied())),
                        )
                        .collect();
                    self.unknown(entry, "a step", &known);
                }
            } else {
                left = fits;
            }
        }
        let made: Vec<_> = left.iter().filter(|(k, _, _)| entries.iter().any(|e| &*e.key == *k)).collect();
        match (made.as_slice(), left.as_slice()) {
            ([kind, ..], _) => Some(kind.0),
            ([], [only]) => {
                self.missing(node, "a step", only.0);
                None
            }
            _ => {
                let kinds =
                    if self.tidegate() { "`run`, `uses`, `gate`, `validate`" } else { "`run` or `uses`" };
                let message = format!("a step needs one of {kinds}; this one has none");
                self.incomplete(node, message);
                None
            }
        }
    }

    fn step(&mut self, node: &Node, key: &str) -> Option<Step> {
        let entries = self.map(node, "a step's keys")?;
        let kind = self.step_kind(node, entries);
        let mut step = Step {
            id: None,
            name: None,
            condition: None,
            env: Env::default(),
            continue_on_error: None,
            timeout_minutes: None,
            container: None,
            resources: None,
            retry: None,
            background: false,
            action: Action::Run(Run {
                script: crate::expr::Template::literal("".into(), node.span),
                shell: None,
                working_directory: None,
            }),
            span: node.span,
        };
        let row = |name: &str| {
            if key == "jobs.steps" { format!("jobs.steps.{name}") } else { "action.steps".to_owned() }
        };
        let condition_row = if key == "jobs.steps" { "jobs.steps.if" } else { "action.steps.if" };
        for entry in entries {
            let value = &entry.value;
            match &*entry.key {
                "id" => step.id = self.step_id(value),
                "name" => step.name = self.template(value, &row("name"), "the step's name"),
                "if" => step.condition = self.condition(value, condition_row),
                "env" => {
                    step.env = self.env(value, &row("env"));
                    if let Some(expression) = &step.env.expression {
                        let message = "a step's `env` is a map of variables; an expression cannot give it";
                        self.meaning(WRONG_TYPE, expression.span, message);
                    }
                }
                "continue-on-error" => {
                    let given = self.boolean(value, &row("continue-on-error"), "`continue-on-error`");
                    step.continue_on_error = given.map(Box::new);
                }
                "timeout-minutes" => {
                    let number = self.number(value, &row("timeout-minutes"), "`timeout-minutes`");
                    step.timeout_minutes = number.map(|n| Box::new(Spanned::new(n, value.span)));
                }
                "container" if self.tidegate() => {
                    step.container = self.container(value, "jobs.steps.container").map(Box::new);
                }
                "resources" if self.tidegate() => {
                    step.resources = self.resources(value, "jobs.steps.resources").map(Box::new);
                }
                "retry" if self.tidegate() => {
                    step.retry = self.retry(value, "jobs.steps.retry").map(Box::new);
                }
                "background" => step.background = self.flag(value, "`background`").unwrap_or(false),
                _ => {}
            }
        }
        let find = |name: &str| entries.iter().find(|e| &*e.key == name).map(|e| &e.value);
        step.action = match kind? {
            "run" => self.run(find("run")?, find("shell"), find("working-directory"), &row)?,
            "uses" => self.uses(find("uses")?, find("with"), &row)?,
            "gate" => Action::Gate(self.gate(find("gate")?)?),
            "validate" => Action::Validate(Box::new(self.validate(find("validate")?)?)),
            "notebook" => Action::Notebook(Box::new(self.notebook(find("notebook")?)?)),
            "register" => {
                let node = find("register")?;
                self.fields(
                    node,
                    "register",
                    &["model", "path", "alias", "metrics", "params", "tags", "description"],
                );
                self.filled_fields(node, &["model", "path", "alias"], &[]);
                Action::Register(Register { fields: self.tree(node, "jobs.steps.register"), span: node.span })
            }
            "deploy" => {
                let node = find("deploy")?;
                self.fields(node, "deploy", &["model", "target", "canary", "promote"]);
                self.filled_fields(node, &["model", "promote"], &["target", "canary"]);
                Action::Deploy(Deploy { fields: self.tree(node, "jobs.steps.deploy"), span: node.span })
            }
            other => {
                let node = find(other)?;
                self.coordination(other, node, key);
                Action::Coordinate(Spanned::new(other.to_owned(), node.span))
            }
        };
        Some(step)
    }

    /// GitHub's steps that wait for, end or bundle background steps: checked, not run here.
    fn coordination(&mut self, kind: &str, node: &Node, key: &str) {
        match kind {
            "parallel" => {
                if let Some(items) = self.list(node, "steps") {
                    self.steps(items, key);
                }
            }
            "wait" => drop(self.words(node, "a step's id")),
            "cancel" => drop(self.word(node, "a step's id")),
            _ if is_null(node) => {}
            _ => drop(self.flag(node, "`wait-all`")),
        }
    }

    fn step_id(&mut self, node: &Node) -> Option<Spanned<String>> {
        let id = self.word(node, "the step's id")?;
        self.id(&id.value, id.span, "step");
        Some(id)
    }

    fn run(
        &mut self,
        script: &Node,
        shell: Option<&Node>,
        folder: Option<&Node>,
        row: &dyn Fn(&str) -> String,
    ) -> Option<Action> {
        /// GitHub's limit on the text of one scalar that holds expressions.
        const LONGEST: usize = 21_000;
        if let NodeKind::Scalar(s) = &script.kind
            && s.text.contains("${{")
            && s.text.len() > LONGEST
        {
            let message = format!("a script with expressions has at most {LONGEST} characters");
            self.error("expression", script.span, message);
            return None;
        }
        Some(Action::Run(Run {
            script: self.template(script, &row("run"), "the script")?,
            shell: shell.and_then(|n| self.filled(n, &row("shell"), "the shell")),
            working_directory: folder.and_then(|n| self.template(n, &row("working-directory"), "the folder")),
        }))
    }

    fn uses(&mut self, uses: &Node, with: Option<&Node>, row: &dyn Fn(&str) -> String) -> Option<Action> {
        let name = self.word(uses, "the action")?;
        let text = name.value.as_str();
        let good = text.starts_with("./")
            || text.starts_with(".\\")
            || text.strip_prefix("docker://").is_some_and(|i| !i.is_empty() && !i.ends_with(':'))
            || {
                let (path, reference) = text.rsplit_once('@').unwrap_or((text, ""));
                let mut parts = path.split(['/', '\\']);
                !reference.is_empty()
                    && parts.next().is_some_and(|p| !p.is_empty())
                    && parts.next().is_some_and(|p| !p.is_empty())
            };
        if !good {
            // GitHub takes a file that only lacks the reference, and fails the run.
            let bare = text == "docker://"
                || !text.starts_with('.')
                    && text.contains('/')
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
            let report: fn(&'static str, Span, String) -> Diagnostic =
                if self.tidegate() || !bare { Diagnostic::error } else { Diagnostic::warning };
            let finding = report("uses", uses.span, format!("`{text}` names no action"))
                .pass(Pass::Meaning)
                .help("write `./path`, `owner/repo@ref`, `owner/repo/path@ref` or `docker://image`");
            self.findings.push(finding);
        }
        let mut with_expression = None;
        let with = match with {
            Some(node) if matches!(&node.kind, NodeKind::Scalar(s) if has_expression(&s.text)) => {
                with_expression = self.template(node, &row("with"), "a map of inputs");
                Vec::new()
            }
            Some(node) => self.pairs(node, &row("with"), "inputs"),
            None => Vec::new(),
        };
        Some(Action::Uses(Uses { uses: name, with, with_expression }))
    }

    /// Reports keys of a map that are not among the known ones.
    pub(super) fn fields(&mut self, node: &Node, place: &str, known: &[&str]) {
        for entry in self.map(node, &format!("the keys of `{place}`")).unwrap_or_default() {
            if !known.contains(&&*entry.key) {
                self.unknown(entry, &format!("`{place}`"), known);
            }
        }
    }
}
