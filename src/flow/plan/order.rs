//! The order of a plan's jobs.

use std::collections::{BTreeSet, HashMap};
use tidegate_lang::workflow::{Job, Workflow};

/// Jobs in an order in which they could run: file order, but what is needed comes first. Jobs on a
/// cycle, which `check` refuses, are left out.
pub(super) fn ordered(workflow: &Workflow) -> Vec<&Job> {
    let ids: HashMap<String, usize> =
        workflow.jobs.iter().enumerate().map(|(index, job)| (job.id.value.to_lowercase(), index)).collect();
    let needs = |job: &Job| -> BTreeSet<usize> {
        job.needs.iter().filter_map(|need| ids.get(&need.value.to_lowercase()).copied()).collect()
    };
    let mut unmet: Vec<usize> = Vec::with_capacity(workflow.jobs.len());
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); workflow.jobs.len()];
    for (index, job) in workflow.jobs.iter().enumerate() {
        let own = needs(job);
        unmet.push(own.len());
        for need in own {
            if let Some(list) = needed_by.get_mut(need) {
                list.push(index);
            }
        }
    }
    let mut ready: BTreeSet<usize> =
        unmet.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| index).collect();
    let mut order = Vec::with_capacity(workflow.jobs.len());
    while let Some(index) = ready.pop_first() {
        order.extend(workflow.jobs.get(index));
        for next in needed_by.get(index).into_iter().flatten() {
            if let Some(count) = unmet.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*next);
                }
            }
        }
    }
    order
}
