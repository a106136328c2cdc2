//! What earlier runs of a workflow tell a plan: what differs where the cache has nothing, and how
//! long its jobs took.

use crate::app::cli::trees::changed_files;
use crate::app::report::why::Keyed;
use std::collections::BTreeMap;
use std::thread::available_parallelism;
use tidegate_edge::store::{RunLog as _, Store};
use tidegate_flow::job::{Conclusion, SourceSpec};
use tidegate_flow::plan::{CacheAnswer, Estimate, Plan, estimate, is_cache_input};
use tidegate_flow::run::CacheKey;
use tidegate_lang::workflow::Workflow;

/// Rows of the list that are looked through for earlier runs of the workflow.
const ROWS: usize = 200;
/// Earlier runs that are read.
const RUNS: usize = 5;
/// Files that are named; more are counted.
const NAMED: usize = 3;

/// The newest earlier runs of one workflow.
pub(super) struct Past<'a> {
    store: &'a Store,
    runs: Vec<Keyed>,
}

impl<'a> Past<'a> {
    /// Reads them. What cannot be read is not there: a plan needs none of it.
    pub(super) fn of(store: &'a Store, workflow: &str) -> Self {
        let rows = store.list(ROWS).unwrap_or_default().into_iter();
        let own = rows.filter(|row| row.workflow == workflow).take(RUNS);
        let runs = own.filter_map(|row| Some(Keyed::new(&store.events(&row.run, 0).ok()?)));
        Self { store, runs: runs.collect() }
    }

    /// Asks the cache for the instances of a job; `tree` is what would run now.
    pub(super) fn ask(
        &self,
        workflow: &Workflow,
        job: &str,
        keys: &[CacheKey],
        tree: &SourceSpec,
    ) -> Vec<CacheAnswer> {
        let asked: Vec<String> = keys.iter().map(|key| key.key.clone()).collect();
        let mut found = self.store.cached_many(&asked).unwrap_or_default().into_iter();
        keys.iter()
            .map(|key| match found.next().flatten() {
                Some(entry) => CacheAnswer::Hit { run: entry.number, receipt: Box::new(entry.receipt) },
                None => self.difference(workflow, job, key, tree),
            })
            .collect()
    }

    /// What differs from the newest run that has a key of this job.
    fn difference(&self, workflow: &Workflow, job: &str, key: &CacheKey, tree: &SourceSpec) -> CacheAnswer {
        let same = |other: &&CacheKey| {
            other.parts.iter().filter(|(name, part)| key.parts.get(*name) == Some(*part)).count()
        };
        let newest = self.runs.iter().find_map(|run| Some((run, run.keys_of(job).max_by_key(same)?)));
        let Some((run, before)) = newest else {
            return CacheAnswer::Miss { differs: Vec::new(), since: None };
        };
        let mut differs = Vec::new();
        for (name, part) in &key.parts {
            if before.parts.get(name) == Some(part) {
                continue;
            }
            if name == "source" {
                differs.extend(self.files(workflow, job, run, tree));
            } else {
                differs.push(name.clone());
            }
        }
        CacheAnswer::Miss { differs, since: Some(run.view().created.number) }
    }

    fn files(&self, workflow: &Workflow, job: &str, run: &Keyed, tree: &SourceSpec) -> Vec<String> {
        let objects = self.store.file_objects();
        let Some(written) = workflow.jobs.iter().find(|other| other.id.value == job) else {
            return vec!["source".to_owned()];
        };
        let changes = changed_files(&objects, &run.view().created.source, tree).unwrap_or_default();
        let paths = changes.into_iter().map(|change| change.path);
        let paths: Vec<String> = paths.filter(|path| is_cache_input(written, path)).collect();
        match paths.get(..NAMED) {
            _ if paths.is_empty() => vec!["source".to_owned()],
            Some(first) if paths.len() > NAMED => {
                let more = format!("{} more files", paths.len() - NAMED);
                first.iter().cloned().chain([more]).collect()
            }
            _ => paths,
        }
    }

    /// Says how long a plan may take: the median of each job's instances that ran to a good end.
    pub(super) fn estimate(&self, plan: &Plan) -> Option<Estimate> {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut runs = Vec::new();
        for run in &self.runs {
            let view = run.view();
            let mut used = false;
            for job in &view.jobs {
                let root = job.declared.workflow == view.created.workflow;
                let name = if root { &job.declared.id } else { &job.declared.display };
                for (_, instance) in view.instances_of(job) {
                    let ran = instance.taken_from.is_none() && instance.outcome == Some(Conclusion::Success);
                    if let Some(took) = instance.elapsed(view.last).filter(|_| ran) {
                        all.entry(name.clone()).or_default().push(took);
                        used = true;
                    }
                }
            }
            if used {
                runs.push(view.created.number);
            }
        }
        let median = |mut all: Vec<u64>| {
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        let took: BTreeMap<String, u64> = all.into_iter().map(|(job, all)| (job, median(all))).collect();
        runs.sort_unstable();
        estimate(plan, &took, &runs, available_parallelism().map_or(1, usize::from))
    }
}
