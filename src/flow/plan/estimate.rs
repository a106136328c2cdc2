//! How long a plan may take, from how long its jobs took before.

use super::model::{Fate, Plan, PlannedJob};
use serde::Serialize;
use std::collections::BTreeMap;

/// How long a plan may take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Seconds from start to end.
    pub seconds: f64,
    /// GPU hours in all.
    pub gpu_hours: f64,
    /// Most GPUs at once, as far as what runs beside what is known.
    pub gpus: u32,
    /// Numbers of the runs that it is taken from.
    pub runs: Vec<u64>,
}

/// Estimates a plan. `took` has the milliseconds of one instance by job id, `runs` the runs they are
/// from, `at_once` the instances that run beside each other. `None` if a job that runs is not known.
pub fn estimate(plan: &Plan, took: &BTreeMap<String, u64>, runs: &[u64], at_once: usize) -> Option<Estimate> {
    let mut ends: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut seconds, mut gpu_hours, mut gpus) = (0.0_f64, 0.0, 0);
    for job in &plan.jobs {
        let begins =
            job.needs.iter().filter_map(|need| ends.get(need.as_str())).fold(0.0, |a: f64, b| a.max(*b));
        let count = instances(job);
        let mut end = begins;
        if count > 0 && job.calls.is_none() {
            let one = seconds_of(*took.get(&job.id)?);
            let width = job.max_parallel.map_or(at_once, |most| at_once.min(most as usize)).max(1);
            let width = width.min(count);
            end += one * number(count.div_ceil(width));
            let asked = job.instances.first().map_or(0, |first| first.settings.resources.gpus);
            gpu_hours += one * number(count) * f64::from(asked) / 3600.0;
            gpus = gpus.max(asked.saturating_mul(u32::try_from(width).unwrap_or(u32::MAX)));
        }
        ends.insert(&job.id, end);
        seconds = seconds.max(end);
    }
    (seconds > 0.0).then(|| Estimate { seconds, gpu_hours, gpus, runs: runs.to_vec() })
}

/// Instances that run: those that are not taken from the cache.
fn instances(job: &PlannedJob) -> usize {
    match job.fate {
        Fate::Runs | Fate::Depends { .. } => {
            let cached =
                |one: &&super::PlannedInstance| matches!(one.cache, Some(super::CacheAnswer::Hit { .. }));
            job.instances.len().max(1) - job.instances.iter().filter(cached).count()
        }
        Fate::Cached { .. } | Fate::Skipped { .. } | Fate::Fails { .. } => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds_of(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn number(count: usize) -> f64 {
    count as f64
}
