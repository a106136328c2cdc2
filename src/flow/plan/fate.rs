//! Whether a planned job runs, from its condition and from what stands above it.

use super::known::{Known, Truth};
use super::model::Fate;
use super::{Contexts, InstanceFacts, NeedFacts, needs_context, reason};
use crate::job::{Conclusion, Receipt};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tidegate_lang::expr::Status;
use tidegate_lang::workflow::Job;

/// How a planned job stands to those that need it.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// It, or something above it, does not run.
    pub(super) skipped: Option<String>,
    /// Whether it runs is decided later.
    pub(super) open: bool,
    /// Its ended instances, where all are known.
    pub(super) instances: Option<Vec<(Json, Conclusion, Option<Receipt>)>>,
}

/// What stands above a job.
pub(super) struct Above<'a> {
    needs: Vec<(&'a str, &'a Standing)>,
    /// Ids, in lower case, whose `needs` entry is known.
    pub(super) known: BTreeSet<String>,
    skipped: Option<String>,
    open: Option<String>,
}

impl<'a> Above<'a> {
    pub(super) fn of(job: &'a Job, standings: &'a HashMap<String, Standing>) -> Self {
        let needs: Vec<(&str, &Standing)> = job
            .needs
            .iter()
            .filter_map(|need| Some((need.value.as_str(), standings.get(&need.value.to_lowercase())?)))
            .collect();
        Self {
            known: needs
                .iter()
                .filter(|(_, s)| s.instances.is_some())
                .map(|(id, _)| id.to_lowercase())
                .collect(),
            skipped: needs.iter().find_map(|(_, standing)| standing.skipped.clone()),
            open: needs.iter().find(|(_, standing)| standing.open).map(|(id, _)| (*id).to_owned()),
            needs,
        }
    }

    /// The job's contexts: the known part of `needs`, and the status if all goes well.
    pub(super) fn contexts(&self, base: &Contexts) -> Contexts {
        let none = BTreeMap::new();
        let facts: Vec<NeedFacts<'_>> = self
            .needs
            .iter()
            .filter_map(|(id, standing)| {
                let instances = standing.instances.as_ref()?;
                let result =
                    if standing.skipped.is_some() { Conclusion::Skipped } else { Conclusion::Success };
                let instances = instances.iter().map(|(matrix, result, receipt)| InstanceFacts {
                    matrix,
                    result: *result,
                    receipt: receipt.as_ref(),
                    outputs: &none,
                });
                Some(NeedFacts { id, result, instances: instances.collect() })
            })
            .collect();
        let status = Status { success: self.skipped.is_none(), failure: false, cancelled: false };
        base.clone().with("needs", needs_context(&facts)).with_status(status)
    }
}

/// Whether a job runs, as far as it is known.
pub(super) fn fate(job: &Job, known: &Known<'_>, above: &Above<'_>) -> Fate {
    let asks = job.condition.as_ref().is_some_and(tidegate_lang::expr::Template::has_status_function);
    if !asks && let Some(skipped) = &above.skipped {
        return Fate::Skipped { reason: format!("{skipped} does not run") };
    }
    if let Some(condition) = &job.condition {
        let mut expressions = condition.expressions();
        match (expressions.next(), expressions.next()) {
            (Some((expr, at)), None) if condition.parts.len() == 1 => match known.truth(expr) {
                Truth::Yes => {}
                Truth::No(part) => {
                    return Fate::Skipped {
                        reason: reason::why_part(&condition.raw, at, part, known.contexts),
                    };
                }
                Truth::Open => return Fate::Depends { on: written(&condition.raw) },
            },
            (None, _) if condition.raw.trim().is_empty() => {}
            _ if !known.template(condition) => return Fate::Depends { on: written(&condition.raw) },
            _ => {}
        }
    }
    match &above.open {
        Some(open) if !asks => Fate::Depends { on: format!("whether {open} runs") },
        _ => Fate::Runs,
    }
}

/// A condition without its `${{ }}`.
fn written(raw: &str) -> String {
    let trimmed = raw.trim();
    let inner = trimmed.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    inner.filter(|inner| !inner.contains("${{")).unwrap_or(trimmed).trim().to_owned()
}
