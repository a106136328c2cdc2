//! Baselines of gates, and gates that are judged by the engine: those of jobs that come from the cache.

use super::{Engine, EngineError};
use std::collections::BTreeMap;
use tidegate_flow::gate::{Baseline, Case, Reference, Verdict, judge};
use tidegate_flow::job::{Receipt, parse_metrics};
use tidegate_flow::plan;
use tidegate_flow::run::{EventKind, InstanceId};

impl Engine<'_> {
    /// Judges the gates of a kept receipt anew, on a freshly fetched baseline. The inner error says
    /// why they cannot be judged without running the job.
    pub(super) fn judge_kept(
        &mut self,
        id: InstanceId,
        receipt: &Receipt,
    ) -> Result<Result<Vec<Verdict>, String>, EngineError> {
        let (job, contexts) = self.instance_contexts(id)?;
        let Some((frame, position)) = self.place(job) else { return Ok(Ok(Vec::new())) };
        let Some(written) = frame.workflow.jobs.get(position) else { return Ok(Ok(Vec::new())) };
        let gates = match plan::kept_gates(written, &contexts, &receipt.metrics) {
            Ok(gates) => gates,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut verdicts = Vec::with_capacity(gates.len());
        for gate in gates {
            let found = match &gate.baseline {
                None => None,
                Some(asked) if is_file(asked) => match self.baseline_of_tree(asked) {
                    Ok(found) => Some(Ok(found)),
                    Err(reason) => return Ok(Err(reason)),
                },
                Some(asked) => Some(self.baseline(id, asked)?),
            };
            if let (Some(asked), Some(Ok(found))) = (&gate.baseline, &found) {
                let (baseline, found) = (asked.clone(), found.clone());
                self.record(EventKind::BaselineFetched { instance: id, baseline, found })?;
            }
            verdicts.push(judge(&Case {
                bounds: &gate.bounds,
                expectations: &gate.expectations,
                metrics: &receipt.metrics,
                goals: &receipt.goals,
                reference: match &found {
                    None => Reference::None,
                    Some(Ok(found)) => Reference::Found(found),
                    Some(Err(reason)) => Reference::Unavailable(reason),
                },
            }));
        }
        Ok(Ok(verdicts))
    }

    /// `branch:NAME`: the last successful run of this project's workflow on that branch; the metrics of the job that asks go before those of
    /// others of one name.
    pub(super) fn baseline(
        &self,
        id: InstanceId,
        asked: &str,
    ) -> Result<Result<Baseline, String>, EngineError> {
        let Some(branch) = asked.strip_prefix("branch:") else {
            return Ok(Err(format!("the baseline `{asked}` needs a model registry, which is not there yet")));
        };
        let workflow = self.run.created().map(|c| c.workflow.clone()).unwrap_or_default();
        let Some(row) = self.store.last_good(self.project(), &workflow, branch, self.owned.number)? else {
            return Ok(Ok(Baseline::Absent));
        };
        let mut by_job = row.summary.map(|summary| summary.metrics).unwrap_or_default();
        let job = self.run.instance(id).and_then(|instance| self.run.job(instance.job));
        let own = job.and_then(|job| by_job.remove(&job.declared.id));
        let mut metrics: BTreeMap<String, f64> = by_job.into_values().flatten().collect();
        metrics.extend(own.unwrap_or_default());
        Ok(Ok(Baseline::Metrics { from: format!("run {} on {branch}", row.number), metrics }))
    }

    /// A file of the run's tree; one that a step writes is not in it.
    fn baseline_of_tree(&self, path: &str) -> Result<Baseline, String> {
        let digest = self.files.file(path);
        let digest = digest.ok_or_else(|| format!("its gate reads {path}, which is not in the tree"))?;
        let bytes = self.objects.get(digest).map_err(|error| format!("its gate reads {path}: {error}"))?;
        let metrics = parse_metrics(&bytes).map_err(|error| format!("its gate reads {path}: {error}"))?;
        let finite = |(name, value): (String, serde_json::Value)| {
            Some((name, value.as_f64().filter(|number| number.is_finite())?))
        };
        Ok(Baseline::Metrics {
            from: path.to_owned(),
            metrics: metrics.into_iter().filter_map(finite).collect(),
        })
    }
}

/// Tells a file of the project from a branch and a registered model.
fn is_file(baseline: &str) -> bool {
    !baseline.starts_with("branch:") && !baseline.contains('@')
}
