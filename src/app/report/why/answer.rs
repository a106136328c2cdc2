//! The answer as data, from the events of the run and of the one before it.

use super::Keyed;
use serde::Serialize;
use tidegate_flow::gate::Verdict;
use tidegate_flow::job::{Conclusion, FailureClass};
use tidegate_flow::run::CacheKey;

/// Why a job ended as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Its id.
    pub job: String,
    /// Number of the run.
    pub run: u64,
    /// Its result; `None` while it has none.
    pub result: Option<Conclusion>,
    /// Why it has no instances: its `if`, its needs, or what could not be evaluated.
    pub reason: Option<String>,
    /// The jobs it needs with their results.
    pub needs: Vec<(String, Option<Conclusion>)>,
    /// Its instances in matrix order.
    pub instances: Vec<InstanceAnswer>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceAnswer {
    /// Its matrix values: `model=svm, c=0.1`; empty without a matrix.
    pub matrix: String,
    /// Where its result is from.
    pub origin: Origin,
    /// Its conclusion.
    pub conclusion: Option<Conclusion>,
    /// Attempts.
    pub attempts: u32,
    /// Those of them that spent none of `retry.attempts`.
    pub uncounted: u32,
    /// Class of its failure.
    pub class: Option<FailureClass>,
    /// In one line.
    pub reason: Option<String>,
    /// The step that failed.
    pub step: Option<String>,
    /// What gates and validations said.
    pub verdicts: Vec<Verdict>,
}

/// Where the result of an instance is from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It has not started.
    Waits {
        /// What for: `cpu 4`, `the concurrency group deploy`; `None`: what it needs has not ended.
        behind: Option<String>,
    },
    /// It ran: `cache` is not written.
    Uncached,
    /// It ran: no earlier run of it is known to compare with.
    FirstTime,
    /// It ran: its key differs from that of an earlier run in these parts; none: nothing good was kept.
    Changed {
        /// The earlier run.
        from: u64,
        /// What differs.
        parts: Vec<KeyPart>,
        /// What is the same.
        same: Vec<String>,
    },
    /// It ran although it was kept: its gate could not be judged without it.
    Ungated {
        /// In words.
        reason: String,
    },
    /// It came from the cache.
    Cached {
        /// The run it was done in: its number, or its ULID where that is gone.
        from: String,
    },
    /// A rerun took it over.
    Adopted {
        /// The run it was done in, likewise.
        from: String,
    },
}

/// One part of a key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyPart {
    /// Its name.
    pub part: String,
    /// Before; empty if it was not there.
    pub before: String,
    /// Now; empty if it is not there any more.
    pub now: String,
    /// What differs in it, a line each: files, consumed artifacts, lines of the workflow, inputs.
    pub details: Vec<String>,
}

/// Says what differs in a part of the key: job, place of the instance in each run, the part.
pub type Details<'a> = dyn Fn(&str, [u32; 2], &KeyPart) -> Vec<String> + 'a;

/// Where an answer takes from what the events of the run do not hold.
pub struct Evidence<'a> {
    /// An earlier run of the same workflow in which the job had a key.
    pub earlier: Option<&'a Keyed>,
    /// Finds a run's number by its ULID.
    pub number: &'a dyn Fn(&str) -> Option<u64>,
    /// Says what differs in a part of the key.
    pub details: &'a Details<'a>,
}

/// Answers for the job `name`; `None` if the run has no such job.
pub fn answer(run: &Keyed, name: &str, evidence: &Evidence<'_>) -> Option<Answer> {
    let jobs = &run.view().jobs;
    let number = evidence.number;
    let by_id = jobs.iter().find(|job| job.declared.id == name);
    let job = by_id.or_else(|| jobs.iter().find(|job| job.declared.display == name))?;
    let needs = job.declared.needs.iter().filter_map(|need| jobs.get(*need as usize));
    let from = |ulid: &str| number(ulid).map_or_else(|| ulid.to_owned(), |number| number.to_string());
    let instances = run.view().instances_of(job).map(|(index, instance)| {
        let origin = match (&instance.taken_from, run.key(index)) {
            (Some(ulid), Some(_)) => Origin::Cached { from: from(ulid) },
            (Some(ulid), None) => Origin::Adopted { from: from(ulid) },
            (None, _) if instance.attempt == 0 => Origin::Waits { behind: run.waits_for(index) },
            (None, None) => Origin::Uncached,
            (None, Some(_)) if let Some(reason) = &instance.not_taken => {
                Origin::Ungated { reason: reason.clone() }
            }
            (None, Some(key)) => {
                let before = evidence.earlier.and_then(|run| {
                    Some((run.view().created.number, run.same(&job.declared.id, instance.matrix())?))
                });
                before.map_or(Origin::FirstTime, |(from, (other, before))| {
                    let details = |part: &KeyPart| (evidence.details)(&job.declared.id, [other, index], part);
                    changed(from, before, key, &details)
                })
            }
        };
        let receipt = instance.receipt.as_ref();
        let failed = receipt.and_then(|receipt| receipt.failed_step);
        InstanceAnswer {
            matrix: instance.matrix_text(", "),
            origin,
            conclusion: instance.outcome,
            attempts: instance.attempt,
            uncounted: instance.uncounted,
            class: instance.class(),
            reason: receipt.and_then(|receipt| receipt.reason.clone()).or_else(|| instance.reason.clone()),
            step: failed
                .and_then(|step| instance.steps.iter().find(|s| s.index == step))
                .map(|s| s.name.clone()),
            verdicts: instance.verdicts.clone(),
        }
    });
    Some(Answer {
        job: job.declared.id.clone(),
        run: run.view().created.number,
        result: job.result,
        reason: job.reason.clone(),
        needs: needs.map(|need| (need.declared.id.clone(), need.result)).collect(),
        instances: instances.collect(),
    })
}

fn changed(
    from: u64,
    before: &CacheKey,
    now: &CacheKey,
    details: &dyn Fn(&KeyPart) -> Vec<String>,
) -> Origin {
    let names: std::collections::BTreeSet<&String> = before.parts.keys().chain(now.parts.keys()).collect();
    let (mut parts, mut same) = (Vec::new(), Vec::new());
    for name in names {
        let value = |key: &CacheKey| key.parts.get(name).cloned().unwrap_or_default();
        let (before, now) = (value(before), value(now));
        if before == now {
            same.push(name.clone());
        } else {
            let mut part = KeyPart { part: name.clone(), before, now, details: Vec::new() };
            part.details = details(&part);
            parts.push(part);
        }
    }
    Origin::Changed { from, parts, same }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_parts_that_differ_are_named() {
        let key = |source: &str| CacheKey {
            key: source.to_owned(),
            parts: BTreeMap::from([
                ("source".to_owned(), source.to_owned()),
                ("image".to_owned(), "i".to_owned()),
            ]),
        };
        let details = vec!["fit.py".to_owned()];
        let part =
            KeyPart { part: "source".to_owned(), before: "a".to_owned(), now: "b".to_owned(), details };
        let wanted = Origin::Changed { from: 6, parts: vec![part], same: vec!["image".to_owned()] };
        let details = |_: &KeyPart| vec!["fit.py".to_owned()];
        assert_eq!(changed(6, &key("a"), &key("b"), &details), wanted);
    }
}
