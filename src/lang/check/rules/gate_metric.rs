//! Gates on metrics that nothing in the job can have written.

use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::{Action, BoundKind, Gate, Job, JobKind};

pub(super) const RULE: Rule = Rule {
    id: "gate-metric",
    level: Level::Tidegate,
    about: "a gate bounds a metric that its job does not produce, or whose direction is unknown",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for job in &facts.workflow.jobs {
        let JobKind::Steps(steps) = &job.kind else { continue };
        for (index, step) in steps.iter().enumerate() {
            if let Action::Gate(gate) = &step.action {
                let programs = steps
                    .iter()
                    .take(index)
                    .any(|s| matches!(s.action, Action::Run(_) | Action::Uses(_) | Action::Notebook(_)));
                judge(job, gate, programs, &mut found);
            }
        }
    }
    found
}

fn judge(job: &Job, gate: &Gate, programs: bool, found: &mut Vec<Diagnostic>) {
    let goals: Vec<&str> =
        job.ml.metrics.iter().flat_map(|m| &m.goals).map(|(name, _)| name.value.as_str()).collect();
    for (name, bounds) in &gate.metrics {
        let metric = name.value.as_str();
        if !programs {
            let text =
                format!("no step of `{}` before this gate can write a metric `{metric}`", job.id.value);
            found.push(
                Diagnostic::error(RULE.id, name.span, text).help(
                    "a gate reads the metrics of its own job: put the program that writes them above it",
                ),
            );
            continue;
        }
        if goals.contains(&metric) {
            continue;
        }
        if let Some(bound) =
            bounds.iter().find(|b| matches!(b.kind.value, BoundKind::MaxWorse | BoundKind::MinGain))
        {
            let text = format!("what is better for `{metric}`, more or less? `goals` does not say");
            let diagnostic = Diagnostic::error(RULE.id, bound.kind.span, text);
            found.push(with_near(diagnostic, metric, &goals).help(format!(
                "add it to the job's metrics: `metrics: {{ files: …, goals: {{ {metric}: max }} }}`"
            )));
        } else if let Some(near) = nearest(metric, goals.iter().copied()) {
            let text = format!("no step of `{}` is known to write a metric `{metric}`", job.id.value);
            found.push(
                Diagnostic::error(RULE.id, name.span, text)
                    .label(format!("did you mean `{near}`?"))
                    .help(format!("under `goals`: {}", list(goals.iter().copied()))),
            );
        } else if job.ml.metrics.is_none() && !mentions_ml_metrics(job) {
            let text = format!(
                "`{}` names no file of metrics, so `{metric}` must come by `ML_METRICS`",
                job.id.value
            );
            found.push(
                Diagnostic::warning(RULE.id, name.span, text)
                    .help("name the file that the program writes: `metrics: metrics.json`"),
            );
        }
    }
}

fn with_near(diagnostic: Diagnostic, name: &str, known: &[&str]) -> Diagnostic {
    match nearest(name, known.iter().copied()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

fn mentions_ml_metrics(job: &Job) -> bool {
    let JobKind::Steps(steps) = &job.kind else { return true };
    steps.iter().any(|s| match &s.action {
        Action::Run(run) => run.script.raw.contains("ML_METRICS"),
        Action::Uses(_) => true,
        _ => false,
    })
}
