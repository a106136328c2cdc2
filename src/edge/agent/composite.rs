//! `uses`: composite actions of this repository, and the built-in ones.

use super::fence::Fence;
use super::job::Job;
use super::keep::within;
use super::scope::{Failed, Scope};
use super::step::Tried;
use rustix::fs::FileType;
use std::path::{Path, PathBuf};
use tidegate_flow::plan::step_specs;
use tidegate_lang::source::{Diagnostic, Severity, Sources, load};
use tidegate_lang::value::{Object, Value};
use tidegate_lang::workflow::{ActionFile, parse_action};

/// How deep actions may use actions (GitHub's limit).
const DEEPEST: u32 = 10;

impl Job<'_> {
    /// Runs what `uses` names.
    pub(super) fn run_action(
        &mut self,
        scope: &mut Scope,
        env: &[(String, String)],
        uses: &str,
        with: &[(String, String)],
    ) -> Tried {
        let inputs = with
            .iter()
            .map(|(name, template)| Ok((name.clone(), self.text(template, scope, env)?)))
            .collect::<Result<Vec<_>, Failed>>();
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(failed) => return Tried::failed(failed),
        };
        if uses.starts_with("./") || uses == "." || uses.starts_with("../") {
            return self.run_local(scope, env, uses, &inputs);
        }
        match self.run_builtin(uses, &inputs) {
            Some(result) => result.into(),
            None => Tried::failed(Failed::user(format!(
                "`uses: {uses}` is an action of another repository, which is not fetched; copy it into this repository and use it as ./path, or do it in a `run:` step"
            ))),
        }
    }

    fn run_local(
        &mut self,
        scope: &mut Scope,
        env: &[(String, String)],
        uses: &str,
        inputs: &[(String, String)],
    ) -> Tried {
        if scope.depth >= DEEPEST {
            return Tried::failed(Failed::user(format!(
                "`uses: {uses}`: actions are nested more than {DEEPEST} deep"
            )));
        }
        let (folder, action, sources) = match self.read_action(uses) {
            Ok(read) => read,
            Err(failed) => return Tried::failed(failed),
        };
        let steps = match step_specs(&action.steps, &sources) {
            Ok(steps) => steps,
            Err(reason) => return Tried::failed(Failed::user(format!("`uses: {uses}`: {reason}"))),
        };
        let mut inner = Scope {
            action_path: Some(folder),
            action: scope.action.clone(),
            depth: scope.depth + 1,
            top: scope.top,
            env: scope.env.iter().chain(env).cloned().collect(),
            ..Scope::default()
        };
        match self.inputs_of(&action, &inner, inputs) {
            Ok(made) => inner.inputs = Some(made),
            Err(failed) => return Tried::failed(failed),
        }
        let before = self.cancelled;
        self.cancelled = false;
        self.run_steps(&mut inner, &steps);
        let cancelled = self.cancelled;
        self.cancelled |= before;
        let mut outputs = Vec::new();
        for (name, template) in &action.outputs {
            match self.text(&template.raw, &inner, &[]) {
                Ok(value) => outputs.push((name.value.clone(), value)),
                Err(failed) => return Tried::failed(failed),
            }
        }
        let failed = inner.failed.then(|| {
            inner.failure.take().unwrap_or_else(|| Failed::user(format!("a step of {uses} failed")))
        });
        Tried { outputs, exit: failed.as_ref().and_then(|f| f.exit), failed, cancelled, job_over: false }
    }

    /// Reads `action.yml` or `action.yaml` of a folder of the tree.
    fn read_action(&self, uses: &str) -> Result<(PathBuf, ActionFile, Sources), Failed> {
        let is_file = |path: &Path| matches!(self.fence.kind(path), Ok(Some(FileType::RegularFile)));
        // GitHub looks from the workspace; here the tree may hold the project in a folder of it.
        let folder = [&self.place.project, &self.place.root]
            .into_iter()
            .map(|base| base.join(uses.trim_start_matches("./")))
            .find(|f| is_file(&f.join("action.yml")) || is_file(&f.join("action.yaml")))
            .ok_or_else(|| {
                Failed::user(format!(
                    "`uses: {uses}`: there is no action.yml, action.yaml in {}",
                    self.place.project.join(uses.trim_start_matches("./")).display()
                ))
            })?;
        if !within(&self.place.root, &folder) {
            return Err(Failed::user(format!("`uses: {uses}` lies outside of the work folder")));
        }
        let path = ["action.yml", "action.yaml"]
            .iter()
            .map(|n| folder.join(n))
            .find(|p| is_file(p))
            .unwrap_or_default();
        let (action, sources) = parse_file(&self.fence, &path, uses)?;
        let using = action.using.value.to_ascii_lowercase();
        if using != "composite" {
            let kind = if using == "docker" { "a Docker" } else { "a JavaScript" };
            return Err(Failed::user(format!(
                "`uses: {uses}` is {kind} action (`using: {}`); only composite actions run here: call its program in a `run:` step",
                action.using.value
            )));
        }
        Ok((folder, action, sources))
    }

    fn inputs_of(
        &mut self,
        action: &ActionFile,
        inner: &Scope,
        given: &[(String, String)],
    ) -> Result<Value, Failed> {
        let mut inputs = Object::default();
        for input in &action.inputs {
            let name = &input.name.value;
            let value = given.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
            if value.is_some()
                && let Some(text) = &input.deprecation
            {
                self.output
                    .note(&format!("##[warning]Input '{name}' has been deprecated with message: {text}"));
            }
            let value = match (value, &input.default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.text(&default.raw, inner, &[])?,
                (None, None) => {
                    if input.required {
                        self.output.note(&format!("##[warning]Input required and not supplied: {name}"));
                    }
                    String::new()
                }
            };
            inputs.insert(name.as_str(), Value::from(value.as_str()));
        }
        for (name, _) in given.iter().filter(|(n, _)| inputs.get(n).is_none()) {
            let valid =
                action.inputs.iter().map(|i| format!("'{}'", i.name.value)).collect::<Vec<_>>().join(", ");
            self.output.note(&format!("##[warning]Unexpected input(s) '{name}', valid inputs are [{valid}]"));
        }
        Ok(Value::object(inputs))
    }
}

fn parse_file(fence: &Fence, path: &Path, uses: &str) -> Result<(ActionFile, Sources), Failed> {
    let wrong = |what: &dyn std::fmt::Display| Failed::user(format!("`uses: {uses}`: {what}"));
    let text = fence.open(path).and_then(std::io::read_to_string).map_err(|e| wrong(&e))?;
    let mut sources = Sources::default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = sources.add(name.as_str(), text.as_str());
    let first = |found: &[Diagnostic], sources: &Sources| {
        found.iter().find(|d| d.severity == Severity::Error).map(|d| {
            let line = sources.line_column(file, d.span.start).0;
            wrong(&format!("{name}:{line}: {}", d.message))
        })
    };
    let (node, found) = load(file, &text);
    if let Some(failed) = first(&found, &sources) {
        return Err(failed);
    }
    let node = node.ok_or_else(|| wrong(&format!("{name} is empty")))?;
    let (action, found) = parse_action(&node, &text, file);
    match first(&found, &sources) {
        Some(failed) => Err(failed),
        None => Ok((action, sources)),
    }
}
