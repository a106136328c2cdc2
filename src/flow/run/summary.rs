//! What a list of runs shows of a run that ended.

use super::{InstanceState, Millis, Run, RunSummary};
use crate::gate::Outcome;
use crate::job::{Conclusion, FailureClass};
use std::collections::BTreeMap;

/// Sums a run up; all its jobs have ended.
pub(super) fn summary(run: &Run, now: Millis) -> RunSummary {
    let (mut gates, mut tool, mut others) = (false, false, false);
    let mut counts = [0u32; 4];
    for instance in run.instances.iter().filter(|i| i.inner.is_empty()) {
        let slot = match instance.conclusion.unwrap_or(Conclusion::Skipped) {
            Conclusion::Success => 0,
            Conclusion::Failure => 1,
            Conclusion::Cancelled => 2,
            Conclusion::Skipped => 3,
        };
        if let Some(count) = counts.get_mut(slot) {
            *count += 1;
        }
        if instance.conclusion == Some(Conclusion::Failure) {
            let undecided = instance.verdicts.iter().any(|v| v.outcome == Outcome::Undecided);
            match instance.receipt.as_ref().and_then(|r| r.class) {
                _ if undecided => tool = true,
                Some(FailureClass::Gate) => gates = true,
                Some(FailureClass::Lost) => tool = true,
                _ => others = true,
            }
        }
    }
    others |= run.jobs.iter().any(|j| j.without.as_ref().is_some_and(|(c, _)| *c == Conclusion::Failure));
    let conclusion = conclusion(run);
    let failed = conclusion == Conclusion::Failure;
    let (mut metrics, mut artifacts) = (BTreeMap::new(), BTreeMap::new());
    for job in &run.jobs {
        if let [only] = job.instances.as_slice()
            && let Some(receipt) = run
                .instance(*only)
                .filter(|i| i.outcome == Some(Conclusion::Success))
                .and_then(|i| i.receipt.as_deref())
        {
            let numbers: BTreeMap<String, f64> = receipt
                .metrics
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
                .collect();
            if !numbers.is_empty() {
                metrics.insert(job.declared.id.clone(), numbers);
            }
            if !receipt.artifacts.is_empty() {
                artifacts.insert(job.declared.id.clone(), receipt.artifacts.clone());
            }
        }
    }
    RunSummary {
        conclusion,
        gate: failed && gates && !others,
        tool_failure: failed && tool && !others && !gates,
        counts,
        cached: count(run, |i| i.cached.is_some()),
        artifact_bytes: run
            .instances
            .iter()
            .filter_map(|i| i.receipt.as_ref())
            .flat_map(|r| r.artifacts.values())
            .map(|a| a.size)
            .sum(),
        metrics,
        artifacts,
        duration_ms: u64::try_from(now.0 - run.began.0).unwrap_or(0),
    }
}

fn conclusion(run: &Run) -> Conclusion {
    let any = |wanted| run.jobs.iter().any(|j| j.caller.is_none() && j.result == Some(wanted));
    if run.cancel.is_some() && (any(Conclusion::Cancelled) || any(Conclusion::Skipped)) {
        Conclusion::Cancelled
    } else if any(Conclusion::Failure) {
        Conclusion::Failure
    } else if any(Conclusion::Cancelled) {
        Conclusion::Cancelled
    } else if any(Conclusion::Success) || run.jobs.is_empty() {
        Conclusion::Success
    } else {
        Conclusion::Skipped
    }
}

fn count(run: &Run, is: impl Fn(&InstanceState) -> bool) -> u32 {
    u32::try_from(run.instances.iter().filter(|i| is(i)).count()).unwrap_or(u32::MAX)
}
