//! The graph of `needs`: unknown jobs, cycles, and a place to start.

use super::reader::{Reader, start_of};
use crate::expr::closest;
use crate::source::{Diagnostic, Pass, Span, Spanned};
use crate::workflow::Job;
use std::collections::HashMap;

impl Reader<'_> {
    /// Reports a job that is needed twice. GitHub takes the same word twice, and does not know a
    /// job by a word in another case.
    fn twice(&mut self, job: &Job) {
        let mut seen: HashMap<String, &Spanned<String>> = HashMap::new();
        for need in &job.needs {
            let Some(first) = seen.insert(need.value.to_lowercase(), need) else { continue };
            let message = format!("`{}` is needed twice", need.value);
            let finding = Diagnostic::error("needs", need.span, message)
                .pass(Pass::Meaning)
                .related(first.span, "first named here");
            self.findings.push(finding);
            if first.value == need.value {
                self.lenient();
            }
        }
    }

    /// Reports jobs that need what is not there, need each other, or cannot start. Linear in the
    /// number of jobs and needs.
    pub(super) fn check_needs(&mut self, jobs: &[Job], whole: Span) {
        let index: HashMap<String, usize> =
            jobs.iter().enumerate().map(|(i, j)| (j.id.value.to_lowercase(), i)).collect();
        if !jobs.is_empty() && jobs.iter().all(|j| !j.needs.is_empty()) {
            self.meaning(
                "needs",
                start_of(whole),
                "every job needs another; at least one must be able to start",
            );
        }
        let mut open: Vec<usize> = vec![0; jobs.len()];
        let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
        for (i, job) in jobs.iter().enumerate() {
            self.twice(job);
            for need in &job.needs {
                if let Some(&other) = index.get(&need.value.to_lowercase()) {
                    if let (Some(count), Some(list)) = (open.get_mut(i), dependants.get_mut(other)) {
                        *count += 1;
                        list.push(i);
                    }
                    continue;
                }
                let message =
                    format!("`{}` needs the job `{}`, which does not exist", job.id.value, need.value);
                let mut finding = Diagnostic::error("needs", need.span, message).pass(Pass::Meaning);
                if let Some(near) = closest(&need.value, jobs.iter().map(|j| j.id.value.as_str())) {
                    finding = finding.label(format!("did you mean `{near}`?")).fix(need.span, near);
                }
                self.findings.push(finding);
            }
        }
        let mut ready: Vec<usize> =
            open.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| i).collect();
        while let Some(job) = ready.pop() {
            for &next in dependants.get(job).map_or(&[][..], Vec::as_slice) {
                if let Some(count) = open.get_mut(next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(next);
                    }
                }
            }
        }
        // What is left waits for a cycle; the jobs on it are those that reach themselves.
        for (i, job) in jobs.iter().enumerate() {
            if open.get(i).is_none_or(|n| *n == 0) {
                continue;
            }
            let stuck = job.needs.iter().find(|need| {
                index.get(&need.value.to_lowercase()).is_some_and(|o| open.get(*o).is_some_and(|n| *n > 0))
            });
            if let Some(need) = stuck {
                let message = format!(
                    "`{}` needs `{}`, and by a circle of needs neither can start",
                    job.id.value, need.value
                );
                self.meaning("needs", need.span, message);
            }
        }
    }
}
