//! `needs.<job>` of a job that is not needed, or that is not there.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-job",
    level: Level::Tidegate,
    about: "`needs.<job>` or `jobs.<job>` names a job that has no results here",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        if !matches!(shape.kind, Kind::Needs | Kind::Jobs) {
            continue;
        }
        let all = facts.workflow.jobs.iter().map(|j| j.id.value.as_str());
        let diagnostic = if let (Some(other), Some(job)) = (facts.job(name), finding.site.job) {
            let id = &other.id.value;
            let text = format!("`{}` does not need `{id}`, so it has no results of it", job.id.value);
            let help = if std::ptr::eq(other, job) {
                "a job has no results of its own before it ends".to_owned()
            } else {
                format!("add `{id}` to `needs` of `{}`", job.id.value)
            };
            Diagnostic::error(RULE.id, finding.span, text).help(help)
        } else {
            let diagnostic = Diagnostic::error(RULE.id, finding.span, format!("there is no job `{name}`"));
            match nearest(name, all.clone()) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!("jobs of this file: {}", list(all))),
            }
        };
        found.push(diagnostic);
    }
    found
}
