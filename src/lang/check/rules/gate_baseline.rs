//! Bounds against a baseline that is not named, and baselines that nothing backs up.

use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::{Action, BoundKind};

pub(super) const RULE: Rule = Rule {
    id: "gate-baseline",
    level: Level::Tidegate,
    about: "a gate compares with a baseline that it does not name, or has no bound for the first time",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        let Action::Gate(gate) = &step.action else { continue };
        let bounds = || gate.metrics.iter().flat_map(|(_, bounds)| bounds);
        let relative = |kind: BoundKind| matches!(kind, BoundKind::MaxWorse | BoundKind::MinGain);
        match &gate.baseline {
            None => {
                for bound in bounds().filter(|b| relative(b.kind.value)) {
                    let text = "this bound compares with a baseline, and the gate names none";
                    found.push(
                        Diagnostic::error(RULE.id, bound.kind.span, text)
                            .help("add `baseline: MODEL@ALIAS`, `branch:NAME` or a JSON file"),
                    );
                }
            }
            Some(baseline) if bounds().all(|b| !relative(b.kind.value)) => {
                let text = "no bound of this gate compares with the baseline";
                found.push(
                    Diagnostic::warning(RULE.id, baseline.span, text)
                        .help("give a metric `max-worse` or `min-gain`, or leave the baseline out"),
                );
            }
            Some(baseline) if bounds().all(|b| relative(b.kind.value)) => {
                let text = "while the baseline does not exist yet, this gate has nothing to judge by";
                found.push(
                    Diagnostic::error(RULE.id, baseline.span, text)
                        .help("give at least one metric an absolute bound: `min`, `max` or `equals`"),
                );
            }
            Some(_) => {}
        }
    }
    found
}
