//! Steps as they travel to the agent: templates as text, ids as GitHub makes them.

use super::absent::NOT_BESIDE;
use super::reads::Reads;
use super::spec::{env_layer, raw};
use crate::job::{ActionSpec, EnvLayer, GateSpec, RetrySpec, StepSpec, ValidateSpec};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::HashSet;
use tidegate_lang::source::Sources;
use tidegate_lang::workflow::{Action, Dynamic, Step, Tree, TreeKind};

/// Turns steps into their travelling form. `retries` is evaluated, in the same order.
pub(super) fn specs(
    steps: &[Step],
    retries: Vec<Option<RetrySpec>>,
    sources: &Sources,
) -> Result<Vec<StepSpec>, String> {
    let ids = ids(steps);
    steps
        .iter()
        .zip(ids)
        .zip(retries)
        .map(|((step, id), retry)| {
            if step.background {
                return Err(format!("`background` of step `{id}`: {NOT_BESIDE}"));
            }
            let action =
                action(&step.action).ok_or_else(|| format!("step `{id}` does what is not there yet"))?;
            Ok(StepSpec {
                id,
                name: step.name.as_ref().map(raw).unwrap_or_default(),
                condition: step.condition.as_ref().map(|condition| bare(&condition.raw)).unwrap_or_default(),
                env: env_layer(&step.env),
                continue_on_error: step.continue_on_error.as_deref().map(dynamic).unwrap_or_default(),
                timeout_minutes: step
                    .timeout_minutes
                    .as_ref()
                    .map(|given| dynamic(&given.value))
                    .unwrap_or_default(),
                retry,
                action,
                line: u32::try_from(sources.line_column(step.span.file, step.span.start).0).unwrap_or(0),
            })
        })
        .collect()
}

/// Turns the steps of a composite action into their travelling form.
pub fn step_specs(steps: &[Step], sources: &Sources) -> Result<Vec<StepSpec>, String> {
    let nothing = super::Contexts::new();
    let retries =
        steps.iter().map(|step| step.retry.as_ref().map(|r| super::instance::retry(r, &nothing)).transpose());
    specs(steps, retries.collect::<Result<_, _>>()?, sources)
}

/// What a step does, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct StepText {
    id: String,
    #[serde(rename = "if")]
    condition: Option<String>,
    env: EnvLayer,
    action: Option<ActionSpec>,
}

/// Returns all that steps do, as it is written, for a cache key: names for people are left out.
pub(super) fn texts(steps: &[Step]) -> Vec<StepText> {
    let texts = steps.iter().zip(ids(steps)).map(|(step, id)| StepText {
        id,
        condition: step.condition.as_ref().map(|condition| bare(&condition.raw)),
        env: env_layer(&step.env),
        action: action(&step.action),
    });
    texts.collect()
}

/// Takes `${{ }}` off a condition that is nothing else.
pub(super) fn bare(condition: &str) -> String {
    let trimmed = condition.trim();
    let inner = trimmed.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    match inner {
        Some(inner) if !inner.contains("${{") && !inner.contains("}}") => inner.trim().to_owned(),
        _ => trimmed.to_owned(),
    }
}

/// A typed key as text for the agent.
fn dynamic<T: ToString>(given: &Dynamic<T>) -> String {
    match given {
        Dynamic::Fixed(fixed) => fixed.to_string(),
        Dynamic::Expr(template) => raw(template),
    }
}

/// Gives every step its id: the one written, or `__run`, `__run_2`, `__actions_checkout` as GitHub.
pub(super) fn ids(steps: &[Step]) -> Vec<String> {
    let mut taken: HashSet<String> =
        steps.iter().filter_map(|step| step.id.as_ref().map(|id| id.value.clone())).collect();
    steps
        .iter()
        .map(|step| {
            if let Some(id) = &step.id {
                return id.value.clone();
            }
            let base = base_id(&step.action);
            let mut id = base.clone();
            let mut number = 2;
            while !taken.insert(id.clone()) {
                id = format!("{base}_{number}");
                number += 1;
            }
            id
        })
        .collect()
}

fn base_id(action: &Action) -> String {
    match action {
        Action::Run(_) => "__run".to_owned(),
        Action::Uses(uses) if uses.uses.value.starts_with("./") => "__self".to_owned(),
        Action::Uses(uses) => {
            let name = uses.uses.value.split('@').next().unwrap_or_default();
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
            format!("__{name}")
        }
        Action::Gate(_) => "__gate".to_owned(),
        Action::Validate(_) => "__validate".to_owned(),
        Action::Notebook(_) => "__notebook".to_owned(),
        Action::Register(_) => "__register".to_owned(),
        Action::Deploy(_) => "__deploy".to_owned(),
        Action::Coordinate(key) => format!("__{}", key.value),
    }
}

/// What a step does as it travels; `None` for kinds that are not there yet, whose jobs `absent`
/// refuses.
pub(super) fn action(action: &Action) -> Option<ActionSpec> {
    Some(match action {
        Action::Run(run) => ActionSpec::Run {
            script: raw(&run.script),
            shell: run.shell.as_ref().map(raw),
            working_directory: run.working_directory.as_ref().map(raw),
        },
        Action::Uses(uses) => ActionSpec::Uses {
            uses: uses.uses.value.clone(),
            with: uses.with.iter().map(|(name, value)| (name.value.clone(), raw(value))).collect(),
        },
        Action::Gate(gate) => ActionSpec::Gate(GateSpec {
            metrics: gate
                .metrics
                .iter()
                .map(|(name, bounds)| {
                    let bounds = bounds.iter().map(|bound| (bound.kind.value, raw(&bound.limit))).collect();
                    (name.value.clone(), bounds)
                })
                .collect(),
            expect: gate.expect.iter().map(|condition| bare(&condition.raw)).collect(),
            baseline: gate.baseline.as_ref().map(raw),
        }),
        Action::Validate(validate) => ActionSpec::Validate(ValidateSpec {
            data: raw(&validate.data),
            schema: validate.schema.as_ref().map(raw),
            rows: validate.rows.as_ref().map(tree),
            unique: validate.unique.as_ref().map(tree),
            nulls: validate.nulls.as_ref().map(tree),
        }),
        Action::Notebook(_) | Action::Register(_) | Action::Deploy(_) | Action::Coordinate(_) => return None,
    })
}

/// A tree as JSON, its templates as text.
pub(super) fn tree(given: &Tree) -> Json {
    match &given.kind {
        TreeKind::Literal(value) => Json::from(value),
        TreeKind::Template(template) => Json::String(raw(template)),
        TreeKind::Sequence(items) => Json::Array(items.iter().map(tree).collect()),
        TreeKind::Mapping(entries) => {
            Json::Object(entries.iter().map(|(name, item)| (raw(&name.value), tree(item))).collect())
        }
    }
}

/// Adds what a step's templates reach.
pub(super) fn reads(step: &Step, reads: &mut Reads) {
    reads.each(step.name.iter().chain(&step.condition));
    reads.env(&step.env);
    if let Some(container) = &step.container {
        reads.env(&container.env);
        reads.each(container.credentials.iter().flat_map(|(name, word)| [name, word]));
    }
    if let Some(Dynamic::Expr(template)) = step.continue_on_error.as_deref() {
        reads.template(template);
    }
    if let Some(Dynamic::Expr(template)) = step.timeout_minutes.as_ref().map(|given| &given.value) {
        reads.template(template);
    }
    match &step.action {
        Action::Run(run) => {
            reads.template(&run.script);
            reads.each(run.shell.iter().chain(&run.working_directory));
        }
        Action::Uses(uses) => {
            reads.each(uses.with.iter().map(|(_, value)| value));
            if uses.uses.value.starts_with('.') {
                for context in ["matrix", "strategy", "inputs", "vars"] {
                    reads.whole(context);
                }
            }
        }
        Action::Gate(gate) => {
            reads.each(gate.metrics.iter().flat_map(|(_, bounds)| bounds.iter().map(|bound| &bound.limit)));
            reads.each(gate.expect.iter().chain(&gate.baseline));
        }
        Action::Validate(validate) => {
            reads.template(&validate.data);
            reads.each(validate.schema.iter());
            for given in [&validate.rows, &validate.unique, &validate.nulls].into_iter().flatten() {
                tree_reads(given, reads);
            }
        }
        Action::Notebook(_) | Action::Register(_) | Action::Deploy(_) | Action::Coordinate(_) => {}
    }
}

fn tree_reads(given: &Tree, reads: &mut Reads) {
    match &given.kind {
        TreeKind::Literal(_) => {}
        TreeKind::Template(template) => reads.template(template),
        TreeKind::Sequence(items) => items.iter().for_each(|item| tree_reads(item, reads)),
        TreeKind::Mapping(entries) => entries.iter().for_each(|(name, item)| {
            reads.template(&name.value);
            tree_reads(item, reads);
        }),
    }
}
