//! Bounds of a gate that contradict one another, or that nothing or everything passes.

use crate::check::cases::constant;
use crate::check::{Facts, Level, Rule};
use crate::expr::Template;
use crate::source::Diagnostic;
use crate::workflow::{Action, Bound, BoundKind};

pub(super) const RULE: Rule = Rule {
    id: "gate-bounds",
    level: Level::Tidegate,
    about: "bounds of a gate contradict one another, or an expectation never changes",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        let Action::Gate(gate) = &step.action else { continue };
        for (metric, bounds) in &gate.metrics {
            ends(&metric.value, bounds, &mut found);
            relative(&metric.value, bounds, &mut found);
        }
        for (expect, value) in gate.expect.iter().filter_map(|e| constant(e).map(|value| (e, value))) {
            let text = format!("this expectation is always {value}");
            found.push(if value {
                Diagnostic::warning(RULE.id, expect.span, text)
            } else {
                Diagnostic::error(RULE.id, expect.span, text).label("nothing passes this gate")
            });
        }
    }
    found
}

/// `min`, `max` and `equals` of one metric: is there a number that keeps them all?
fn ends(metric: &str, bounds: &[Bound], found: &mut Vec<Diagnostic>) {
    let (min, max) = (number(bounds, BoundKind::Min), number(bounds, BoundKind::Max));
    if let (Some((min, low)), Some((max, high))) = (min, max)
        && low > high
    {
        let text = format!("no `{metric}` is at least {} and at most {}", min.raw, max.raw);
        found.push(
            Diagnostic::error(RULE.id, max.span, text)
                .label("the most it may be")
                .related(min.span, "the least it may be"),
        );
    }
    let Some((equals, exactly)) = number(bounds, BoundKind::Equals) else { return };
    for (other, outside, word) in [
        min.map(|(t, low)| (t, exactly < low, "at least")),
        max.map(|(t, high)| (t, exactly > high, "at most")),
    ]
    .into_iter()
    .flatten()
    {
        if outside {
            let text = format!("no `{metric}` equals {} and is {word} {}", equals.raw, other.raw);
            found.push(
                Diagnostic::error(RULE.id, equals.span, text)
                    .related(other.span, format!("and it must be {word} this")),
            );
        }
    }
}

/// `max-worse` and `min-gain` of one metric: distances in the direction that `goals` says.
fn relative(metric: &str, bounds: &[Bound], found: &mut Vec<Diagnostic>) {
    let (worse, gain) = (number(bounds, BoundKind::MaxWorse), number(bounds, BoundKind::MinGain));
    for (limit, name, other, meant) in [
        worse.map(|(limit, n)| (limit, n, "max-worse", "min-gain", "must be better")),
        gain.map(|(limit, n)| (limit, n, "min-gain", "max-worse", "may be worse")),
    ]
    .into_iter()
    .flatten()
    .filter(|(_, n, ..)| *n < 0.0)
    .map(|(limit, _, name, other, meant)| (limit, name, other, meant))
    {
        let text = format!("`{name}` of `{metric}` is less than nothing");
        let (amount, place) = (limit.raw.trim().trim_start_matches('-'), limit.span);
        found.push(
            Diagnostic::error(RULE.id, place, text)
                .help(format!("write `{other}: {amount}` if it {meant} than the baseline by that much"))
                .help("which direction is better is said by `goals`, so the amount has no sign"),
        );
    }
    if let (Some((worse, w)), Some((gain, g))) = (worse, gain)
        && w >= 0.0
        && g >= 0.0
    {
        let text =
            format!("`{metric}` must be better than the baseline, so how much worse it may be says nothing");
        found.push(Diagnostic::warning(RULE.id, worse.span, text).related(gain.span, "because of this"));
    }
}

/// The limit of a kind, where it is written as a number.
fn number(bounds: &[Bound], kind: BoundKind) -> Option<(&Template, f64)> {
    let limit = bounds.iter().find(|b| b.kind.value == kind).map(|b| &b.limit)?;
    let amount = limit.raw.trim().trim_end_matches('%').trim_end().parse().ok();
    amount.filter(|_| limit.is_literal()).map(|amount| (limit, amount))
}
