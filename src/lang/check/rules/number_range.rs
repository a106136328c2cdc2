//! Numbers that no run can keep: no time at all, no instance at once, half a node.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Span};
use crate::workflow::Dynamic;

pub(super) const RULE: Rule = Rule {
    id: "number-range",
    level: Level::Tidegate,
    about: "a number of minutes, instances or nodes is too small, or not whole",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let fixed = |value: &Dynamic<f64>| match value {
        Dynamic::Fixed(number) => Some(*number),
        Dynamic::Expr(_) => None,
    };
    let mut minutes = |key: &str, value: Option<(&Dynamic<f64>, Span)>, least: f64| {
        let Some((number, span)) = value.and_then(|(value, span)| Some((fixed(value)?, span))) else {
            return;
        };
        if number < least || (number <= 0.0 && least > 0.0) {
            let text = format!("`{key}: {number}` leaves no time at all");
            found.push(Diagnostic::error(RULE.id, span, text).help("leave it out for no limit"));
        }
    };
    for (_, step) in facts.steps() {
        let value = step.timeout_minutes.as_ref().map(|m| (&m.value, m.span));
        minutes("timeout-minutes", value, f64::MIN_POSITIVE);
    }
    for job in &facts.workflow.jobs {
        let value = job.timeout_minutes.as_ref().map(|m| (&m.value, m.span));
        minutes("timeout-minutes", value, f64::MIN_POSITIVE);
        let value = job.cancel_timeout_minutes.as_ref().map(|m| (&m.value, m.span));
        minutes("cancel-timeout-minutes", value, 0.0);
    }
    for job in &facts.workflow.jobs {
        let nodes = job.ml.nodes.as_ref().and_then(|n| Some((fixed(&n.value)?, n.span)));
        let strategy = job.strategy.as_deref();
        let most = strategy.and_then(|s| s.max_parallel.as_ref());
        let most = most.and_then(|m| Some((fixed(&m.value)?, m.span)));
        for (key, value) in [("max-parallel", most), ("nodes", nodes)] {
            if let Some((number, span)) = value.filter(|(n, _)| *n < 1.0 || n.fract() != 0.0) {
                let text = format!("`{key}` is a whole number of at least 1, not {number}");
                found.push(Diagnostic::error(RULE.id, span, text));
            }
        }
    }
    found
}
