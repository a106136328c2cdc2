//! Outputs of a job with a matrix: at GitHub the instance that ends last overwrites the others.

use crate::check::access::{Access, expressions};
use crate::check::scope::instance_count;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::{Dialect, Job};

pub(super) const RULE: Rule = Rule {
    id: "matrix-outputs",
    level: Level::Warning,
    about: "the instances of a matrix write the same job output, so the last one to end wins",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    // In Tidegate's dialect reading them is already an error (`several-instances`).
    if facts.workflow.dialect == Dialect::Tidegate {
        return Vec::new();
    }
    let mut found = Vec::new();
    for job in facts.workflow.jobs.iter().filter(|j| instance_count(j) != Some(1)) {
        for (name, value) in &job.outputs {
            // GitHub's own way around: a name of its own for each instance cannot be written, but
            // an output that only one instance sets is common with `include`.
            if value.is_literal() || !reads_steps(job, &name.value) {
                continue;
            }
            let text = format!(
                "every instance of `{}` writes `{}`, and the last one wins",
                job.id.value, name.value
            );
            found.push(
                Diagnostic::warning(RULE.id, name.span, text)
                    .help("write an artifact for each instance, or let one instance alone set it"),
            );
        }
    }
    found
}

fn reads_steps(job: &Job, output: &str) -> bool {
    let mut found = false;
    for (_, value) in job.outputs.iter().filter(|(n, _)| n.value == output) {
        for (expr, _) in expressions(value) {
            expr.walk(&mut |e| found |= Access::of(e).is_some_and(|a| a.is("steps")));
        }
    }
    found
}
