//! Joins a workflow with the local workflows it calls, and compares each call with what the called
//! workflow takes.
//!
//! Not here: reading files (the loader's work), `needs` (`parse`), expressions (`check`).

use super::grants::{Grants, escalation};
use super::{Call, CallInterface, Dialect, InputKind, Job, JobKind, Tree, TreeKind, Workflow};
use crate::expr::closest;
use crate::source::{Diagnostic, Pass, Span};
use crate::value::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// How deep calls may nest, the outermost workflow included (GitHub, "Reusing workflow
/// configurations": ten levels).
pub const MAX_CALL_DEPTH: usize = 10;

/// A workflow with all local workflows that it calls, directly or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Linked {
    /// The file that was asked for.
    pub root: Arc<Workflow>,
    /// The called ones by path, without `./`.
    pub called: BTreeMap<String, Arc<Workflow>>,
}

/// What a repository's settings say about calls.
#[derive(Clone, Copy, Debug)]
pub struct LinkRules {
    /// How deep calls may nest, the outermost workflow included.
    pub depth: usize,
    /// What a workflow that declares no `permissions` is granted; `None` where the repository's
    /// setting is not known, and then nothing is held against it.
    pub default_grants: Option<Grants>,
}

impl Default for LinkRules {
    fn default() -> Self {
        Self { depth: MAX_CALL_DEPTH, default_grants: None }
    }
}

/// Links a workflow. The loader gets paths without `./`.
pub fn link(
    root: Arc<Workflow>,
    loader: &dyn Fn(&str) -> Option<Arc<Workflow>>,
) -> (Linked, Vec<Diagnostic>) {
    link_with(root, loader, LinkRules::default())
}

/// Links a workflow under the rules of a repository. The loader is asked for remote workflows too,
/// by the text of `uses`; one that it does not have is left alone.
pub fn link_with(
    root: Arc<Workflow>,
    loader: &dyn Fn(&str) -> Option<Arc<Workflow>>,
    rules: LinkRules,
) -> (Linked, Vec<Diagnostic>) {
    let mut linker = Linker {
        loader,
        rules,
        called: BTreeMap::new(),
        missing: HashSet::new(),
        followed: HashSet::new(),
        found: Vec::new(),
    };
    linker.calls(&root, &mut Vec::new(), None, rules.default_grants);
    let Linker { called, mut found, .. } = linker;
    for finding in &mut found {
        finding.pass = Pass::Meaning;
    }
    (Linked { root, called }, found)
}

/// Returns the path of a local call without `./`; `None` for a remote one.
pub fn local_path(uses: &str) -> Option<&str> {
    uses.strip_prefix("./").filter(|path| !path.contains('@'))
}

struct Linker<'a> {
    loader: &'a dyn Fn(&str) -> Option<Arc<Workflow>>,
    rules: LinkRules,
    called: BTreeMap<String, Arc<Workflow>>,
    missing: HashSet<String>,
    /// Workflows whose calls were followed, with how deep they stood and what they were granted: each once, or calls
    /// that fan out would take exponential time.
    followed: HashSet<(String, usize, Option<Grants>)>,
    found: Vec<Diagnostic>,
}

impl Linker<'_> {
    /// Follows the calls of one workflow. `above` are the paths on the way to it, `at` the call in
    /// the root file, which is where nesting is reported.
    fn calls(
        &mut self,
        workflow: &Workflow,
        above: &mut Vec<String>,
        at: Option<Span>,
        granted: Option<Grants>,
    ) {
        let of_file = workflow.permissions.as_ref().map(Grants::of).or(granted);
        for job in &workflow.jobs {
            let JobKind::Call(call) = &job.kind else { continue };
            let local = local_path(&call.uses.value);
            let path = local.unwrap_or(&call.uses.value);
            let place = at.unwrap_or(call.uses.span);
            if above.iter().any(|p| p == path) {
                let text = format!("`{path}` calls itself, directly or through another workflow");
                self.found.push(Diagnostic::error("call-cycle", place, text));
                continue;
            }
            if above.len() + 2 > self.rules.depth {
                let text = format!("calls nest deeper than {} workflows", self.rules.depth);
                self.found.push(Diagnostic::error("call-depth", place, text));
                continue;
            }
            let Some(target) = self.load(path) else {
                if local.is_some() {
                    self.not_there(workflow.dialect, path, call);
                }
                continue;
            };
            if let Some(interface) = &target.on.call {
                interface_of(job, call, interface, &mut self.found);
            } else {
                let text = format!("`{path}` cannot be called: it has no `on.workflow_call`");
                self.found.push(
                    Diagnostic::error("call-target", call.uses.span, text)
                        .help("add `workflow_call:` under its `on`"),
                );
            }
            let granted = job.permissions.as_deref().map(Grants::of).or(of_file);
            if let Some(granted) = granted {
                escalation(job, path, &target, granted, &mut self.found);
            }
            if self.followed.insert((path.to_owned(), above.len(), granted)) {
                above.push(path.to_owned());
                self.calls(&target, above, Some(place), granted);
                above.pop();
            }
        }
    }

    fn load(&mut self, path: &str) -> Option<Arc<Workflow>> {
        if let Some(known) = self.called.get(path) {
            return Some(known.clone());
        }
        if self.missing.contains(path) {
            return None;
        }
        let loaded = (self.loader)(path);
        match &loaded {
            Some(workflow) => {
                self.called.insert(path.to_owned(), workflow.clone());
            }
            None => {
                self.missing.insert(path.to_owned());
            }
        }
        loaded
    }

    fn not_there(&mut self, dialect: Dialect, path: &str, call: &Call) {
        let text = format!("the called workflow `{path}` is not there, or cannot be read");
        let help = "the path counts from the project's folder";
        self.found.push(match dialect {
            Dialect::Tidegate => Diagnostic::error("call-target", call.uses.span, text).help(help),
            // A file alone, outside its repository, is still a file that GitHub takes.
            Dialect::Github => Diagnostic::warning("call-target", call.uses.span, text).help(help),
        });
    }
}

/// Compares what a call gives with what the called workflow takes.
fn interface_of(job: &Job, call: &Call, interface: &CallInterface, found: &mut Vec<Diagnostic>) {
    let path = &call.uses.value;
    for (name, value) in &call.with {
        let input = interface.inputs.iter().find(|i| i.name.value.eq_ignore_ascii_case(&name.value));
        match input {
            None => {
                let text = format!("`{path}` has no input `{}`", name.value);
                let known = interface.inputs.iter().map(|i| i.name.value.as_str());
                found.push(near(Diagnostic::error("call-input", name.span, text), &name.value, known));
            }
            Some(input) if !fits(input.kind, value) => {
                let text = format!("input `{}` of `{path}` is {}", name.value, noun(input.kind));
                found.push(
                    Diagnostic::error("call-input", value.span, text)
                        .related(input.name.span, "declared here"),
                );
            }
            Some(_) => {}
        }
    }
    for input in interface.inputs.iter().filter(|i| i.required && i.default.is_none()) {
        if !call.with.iter().any(|(n, _)| n.value.eq_ignore_ascii_case(&input.name.value)) {
            let text =
                format!("`{}` gives no input `{}`, and `{path}` needs it", job.id.value, input.name.value);
            found.push(
                Diagnostic::error("call-input", call.uses.span, text)
                    .related(input.name.span, "required here"),
            );
        }
    }
    if call.inherit_secrets {
        return;
    }
    for (name, _) in &call.secrets {
        if !interface.secrets.iter().any(|(n, _)| n.value.eq_ignore_ascii_case(&name.value)) {
            let text = format!("`{path}` takes no secret `{}`", name.value);
            let known = interface.secrets.iter().map(|(n, _)| n.value.as_str());
            found.push(near(Diagnostic::error("call-secret", name.span, text), &name.value, known));
        }
    }
    for (secret, _) in interface.secrets.iter().filter(|(_, required)| *required) {
        if !call.secrets.iter().any(|(n, _)| n.value.eq_ignore_ascii_case(&secret.value)) {
            let text =
                format!("`{}` gives no secret `{}`, and `{path}` needs it", job.id.value, secret.value);
            found.push(
                Diagnostic::error("call-secret", call.uses.span, text)
                    .related(secret.span, "required here")
                    .help("name it under `secrets`, or pass all with `secrets: inherit`"),
            );
        }
    }
}

fn near<'a>(diagnostic: Diagnostic, name: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    match closest(name, known) {
        Some(word) => diagnostic.label(format!("did you mean `{word}`?")),
        None => diagnostic,
    }
}

/// Tells whether a value can be given to an input: an expression may be anything.
fn fits(kind: InputKind, value: &Tree) -> bool {
    let TreeKind::Literal(value) = &value.kind else {
        return matches!(value.kind, TreeKind::Template(_));
    };
    match kind {
        InputKind::Number => matches!(value, Value::Number(_) | Value::Null),
        InputKind::Boolean => matches!(value, Value::Bool(_) | Value::Null),
        InputKind::String | InputKind::Choice | InputKind::Environment => true,
    }
}

fn noun(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Number => "a number",
        InputKind::Boolean => "a boolean",
        InputKind::String | InputKind::Choice | InputKind::Environment => "text",
    }
}
