//! What all rules look at, worked out once for each file.

use super::CheckContext;
use super::access::{Inside, expressions};
use super::scope::{Finding, Problem, Scopes, Type, infer};
use super::sites::{Site, collect};
use crate::expr::Expr;
use crate::workflow::{Job, JobKind, Step, Workflow};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One workflow and what is known of it.
pub struct Facts<'a> {
    /// The file.
    pub(super) workflow: &'a Workflow,
    /// Jobs by id in lower case.
    by_id: HashMap<String, &'a Job>,
    /// The local workflows that can be called, by path.
    pub(super) called: &'a BTreeMap<String, Arc<Workflow>>,
    /// What was asked of outside.
    pub(super) context: &'a CheckContext<'a>,
    /// All templates with an expression.
    pub(super) sites: Vec<Site<'a>>,
    /// What the types say.
    pub(super) findings: Vec<Finding<'a>>,
}

impl<'a> Facts<'a> {
    /// Looks at a workflow.
    pub(super) fn new(
        workflow: &'a Workflow,
        called: &'a BTreeMap<String, Arc<Workflow>>,
        context: &'a CheckContext<'a>,
    ) -> Self {
        let sites = collect(workflow);
        let scopes = Scopes::new(workflow, called, context);
        let mut findings = Vec::new();
        for site in &sites {
            let alone = site.template.parts.len() == 1;
            for (expr, inside) in expressions(site.template) {
                let (kind, found) = infer(expr, inside, *site, &scopes);
                findings.extend(found);
                if (!alone || prints(site.key)) && matches!(kind, Type::Array(_) | Type::Object(_)) {
                    findings.push(Finding {
                        problem: Problem::PrintsNothing { found: kind },
                        span: context.place(inside, expr),
                        site: *site,
                    });
                }
            }
        }
        let by_id = workflow.jobs.iter().map(|j| (j.id.value.to_ascii_lowercase(), j)).collect();
        Self { workflow, by_id, called, context, sites, findings }
    }

    /// Visits each part of each expression, the whole ones too, with its place.
    pub(super) fn walk(&self, mut visit: impl FnMut(Site<'a>, &'a Expr, Inside<'a>)) {
        for site in &self.sites {
            for (expr, inside) in expressions(site.template) {
                expr.walk(&mut |e| visit(*site, e, inside));
            }
        }
    }

    /// Finds a job in any case.
    pub(super) fn job(&self, id: &str) -> Option<&'a Job> {
        self.by_id.get(&id.to_ascii_lowercase()).copied()
    }

    /// Returns all steps with their jobs.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&'a Job, &'a Step)> {
        self.workflow.jobs.iter().flat_map(|job| match &job.kind {
            JobKind::Steps(steps) => steps.iter().map(|s| (job, s)).collect::<Vec<_>>(),
            JobKind::Call(_) => Vec::new(),
        })
    }
}

/// Tells whether the value of a key is always text.
fn prints(key: &str) -> bool {
    matches!(key, "jobs.<job_id>.steps.run" | "run-name")
}
