//! Metrics, bounds and a baseline give a verdict.
//!
//! Not here: evaluating templates and expectations (the agent's), fetching baselines (the
//! engine's), how a verdict reads (`report`).

use super::{Baseline, Finding, Limit, Outcome, Verdict};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use tidegate_lang::workflow::BoundKind;

/// Differences below this share of the numbers involved are rounding, not distance: `0.97 - 0.01`
/// must let `0.96` pass. Only for bounds that were calculated from a baseline.
const ROUNDING: f64 = 1e-12;

/// All that a gate is judged by.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Metric and bounds in file order.
    pub bounds: &'a [(String, Vec<(BoundKind, Limit)>)],
    /// `expect`: the text of each expression and what it gave, or why it gave nothing.
    pub expectations: &'a [(String, Result<bool, String>)],
    /// What was measured.
    pub metrics: &'a BTreeMap<String, Json>,
    /// `max` or `min` by metric.
    pub goals: &'a BTreeMap<String, String>,
    /// What to compare with.
    pub reference: Reference<'a>,
}

/// Where the numbers to compare with stand.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// The gate names no baseline.
    None,
    /// It was looked up.
    Found(&'a Baseline),
    /// It could not be looked up: the reason. Then the gate says nothing.
    Unavailable(&'a str),
}

/// Judges a gate. What is missing, no number, NaN or infinite never passes; nor does a gate that
/// asks nothing.
pub fn judge(case: &Case<'_>) -> Verdict {
    let mut findings = Vec::new();
    for (metric, bounds) in case.bounds {
        for (kind, limit) in bounds {
            findings.push(bound(case, metric, *kind, *limit));
        }
    }
    findings.extend(case.expectations.iter().map(|(text, given)| expectation(text, given)));
    if findings.is_empty() {
        findings.push(refusal("gate", "it has no bound and no expectation, so nothing can pass"));
    } else if lacks_absolute(case) {
        findings.push(refusal(
            "baseline",
            "there is none yet, and no absolute bound (min, max, equals) decides instead",
        ));
    }
    let outcome = if matches!(case.reference, Reference::Unavailable(_)) {
        Outcome::Undecided
    } else if findings.iter().all(|finding| finding.holds) {
        Outcome::Pass
    } else {
        Outcome::Fail
    };
    Verdict { outcome, findings }
}

/// Tells whether a baseline is named but does not exist, and no absolute bound is there.
fn lacks_absolute(case: &Case<'_>) -> bool {
    let absent = matches!(case.reference, Reference::Found(Baseline::Absent));
    absent && !case.bounds.iter().flat_map(|(_, bounds)| bounds).any(|(kind, _)| !is_relative(*kind))
}

fn is_relative(kind: BoundKind) -> bool {
    matches!(kind, BoundKind::MaxWorse | BoundKind::MinGain)
}

/// A finding that is not about a number and says no.
fn refusal(subject: &str, note: &str) -> Finding {
    Finding {
        subject: subject.to_owned(),
        kind: None,
        value: None,
        bound: None,
        baseline: None,
        margin: None,
        holds: false,
        note: Some(note.to_owned()),
    }
}

/// Judges one expectation.
fn expectation(text: &str, given: &Result<bool, String>) -> Finding {
    let note = match given {
        Ok(_) => None,
        Err(reason) => Some(reason.clone()),
    };
    Finding { holds: matches!(given, Ok(true)), note, ..refusal(text, "") }
}

/// Judges one bound of one metric.
fn bound(case: &Case<'_>, metric: &str, kind: BoundKind, limit: Limit) -> Finding {
    let mut finding = Finding { kind: Some(kind), note: None, ..refusal(metric, "") };
    let value = match measured(case.metrics.get(metric)) {
        Ok(value) => value,
        Err(note) => {
            finding.bound = (!is_relative(kind) && !limit.percent).then_some(limit.amount);
            finding.note = Some(note);
            return finding;
        }
    };
    finding.value = Some(value);
    if is_relative(kind) {
        relative(case, metric, value, limit, finding)
    } else if limit.percent {
        finding.note = Some("a percentage is a share of a baseline; this bound has none".to_owned());
        finding
    } else {
        absolute(value, kind, limit.amount, finding)
    }
}

/// Returns a finite number, or says what is there instead.
fn measured(value: Option<&Json>) -> Result<f64, String> {
    match value {
        None => Err("the metric is missing".to_owned()),
        Some(Json::Number(number)) => match number.as_f64() {
            Some(number) if number.is_finite() => Ok(number),
            _ => Err("the metric is not a finite number".to_owned()),
        },
        Some(Json::String(text)) => Err(match text.to_ascii_lowercase().trim_start_matches(['-', '+']) {
            "nan" => "the metric is NaN".to_owned(),
            "inf" | "infinity" => "the metric is infinite".to_owned(),
            _ => "the metric is text, not a number".to_owned(),
        }),
        Some(Json::Null) => Err("the metric is null".to_owned()),
        Some(Json::Bool(_)) => Err("the metric is a boolean, not a number".to_owned()),
        Some(Json::Array(_) | Json::Object(_)) => Err("the metric is not a number".to_owned()),
    }
}

/// `min`, `max`, `equals`.
fn absolute(value: f64, kind: BoundKind, limit: f64, finding: Finding) -> Finding {
    let margin = match kind {
        BoundKind::Min => value - limit,
        BoundKind::Max => limit - value,
        _ => -(value - limit).abs(),
    };
    let margin = if margin == 0.0 { 0.0 } else { margin };
    Finding { bound: Some(limit), margin: Some(margin), holds: margin >= 0.0, ..finding }
}

/// `max-worse`, `min-gain`: against the baseline, in the direction that is better.
fn relative(case: &Case<'_>, metric: &str, value: f64, limit: Limit, mut finding: Finding) -> Finding {
    let metrics = match case.reference {
        Reference::Found(Baseline::Metrics { metrics, .. }) => metrics,
        Reference::Found(Baseline::Absent) => {
            finding.holds = true;
            finding.note = Some("there is no baseline yet".to_owned());
            return finding;
        }
        Reference::Unavailable(reason) => {
            finding.note = Some(format!("the baseline could not be read: {reason}"));
            return finding;
        }
        Reference::None => {
            finding.note = Some("the gate names no `baseline` to compare with".to_owned());
            return finding;
        }
    };
    let Some(base) = metrics.get(metric).copied().filter(|base| base.is_finite()) else {
        finding.note = Some("the baseline has no such metric".to_owned());
        return finding;
    };
    finding.baseline = Some(base);
    let more_is_better = match case.goals.get(metric).map(String::as_str) {
        Some("max") => true,
        Some("min") => false,
        _ => {
            finding.note =
                Some(format!("no goal says whether more is better: `goals: {{ {metric}: max }}` or `min`"));
            return finding;
        }
    };
    let distance = if limit.percent { base.abs() * limit.amount / 100.0 } else { limit.amount };
    let gain = if finding.kind == Some(BoundKind::MinGain) { distance } else { -distance };
    let (bound, margin) = if more_is_better {
        (base + gain, value - (base + gain))
    } else {
        (base - gain, (base - gain) - value)
    };
    if !bound.is_finite() || !margin.is_finite() {
        finding.note = Some("the bound is not a finite number".to_owned());
        return finding;
    }
    let rounding = ROUNDING * base.abs().max(value.abs()).max(distance.abs());
    let margin = if margin.abs() <= rounding { 0.0 } else { margin };
    Finding { bound: Some(bound), margin: Some(margin), holds: margin >= 0.0, ..finding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NONE: &[(String, Result<bool, String>)] = &[];

    fn limits(text: &str) -> Vec<(String, Vec<(BoundKind, Limit)>)> {
        text.split(';')
            .map(|part| {
                let mut words = part.split_whitespace();
                let metric = words.next().unwrap().to_owned();
                let kind = match words.next().unwrap() {
                    "min" => BoundKind::Min,
                    "max" => BoundKind::Max,
                    "equals" => BoundKind::Equals,
                    "max-worse" => BoundKind::MaxWorse,
                    _ => BoundKind::MinGain,
                };
                (metric, vec![(kind, Limit::parse(words.next().unwrap()).unwrap())])
            })
            .collect()
    }

    fn verdict(bounds: &str, metrics: &Json, goals: &Json, reference: Reference<'_>) -> Verdict {
        let metrics = serde_json::from_value(metrics.clone()).unwrap();
        let goals = serde_json::from_value(goals.clone()).unwrap();
        judge(&Case {
            bounds: &limits(bounds),
            expectations: NONE,
            metrics: &metrics,
            goals: &goals,
            reference,
        })
    }

    fn baseline(metrics: &Json) -> Baseline {
        Baseline::Metrics {
            from: "run 6".to_owned(),
            metrics: serde_json::from_value(metrics.clone()).unwrap(),
        }
    }

    #[test]
    fn absolute_bounds_include_their_limit() {
        let table = [
            ("a min 0.95", json!({"a": 0.95}), Outcome::Pass),
            ("a min 0.95", json!({"a": 0.9499}), Outcome::Fail),
            ("a max 20", json!({"a": 20}), Outcome::Pass),
            ("a max 20", json!({"a": 20.5}), Outcome::Fail),
            ("a equals 3", json!({"a": 3.0}), Outcome::Pass),
            ("a equals 3", json!({"a": 3.1}), Outcome::Fail),
            ("a min -1", json!({"a": -0.5}), Outcome::Pass),
            ("a min 2%", json!({"a": 1.0}), Outcome::Fail),
            ("a min 1;b max 1", json!({"a": 1, "b": 2}), Outcome::Fail),
        ];
        for (bounds, metrics, outcome) in table {
            assert_eq!(
                verdict(bounds, &metrics, &json!({}), Reference::None).outcome,
                outcome,
                "{bounds} {metrics}"
            );
        }
    }

    #[test]
    fn what_is_no_finite_number_never_passes() {
        let values = [
            json!(null),
            json!("NaN"),
            json!("Infinity"),
            json!("-inf"),
            json!("0.99"),
            json!(true),
            json!([1]),
        ];
        for value in values {
            for bounds in
                ["a min -1e300", "a max 1e300", "a equals 0", "a max-worse 100%", "a min-gain -1e300"]
            {
                let found = baseline(&json!({"a": 0.5}));
                let metrics = json!({"a": value});
                let verdict = verdict(bounds, &metrics, &json!({"a": "max"}), Reference::Found(&found));
                assert_eq!(verdict.outcome, Outcome::Fail, "{bounds} {metrics}");
                assert_eq!(verdict.findings[0].value, None);
                assert!(verdict.findings[0].note.is_some());
            }
        }
        assert_eq!(verdict("a min 0", &json!({}), &json!({}), Reference::None).outcome, Outcome::Fail);
        let absent = Reference::Found(&Baseline::Absent);
        assert_eq!(
            verdict("a min 0;b max-worse 1", &json!({"a": 1}), &json!({}), absent).outcome,
            Outcome::Fail
        );
    }

    #[test]
    fn relative_bounds_follow_the_goal() {
        let found = baseline(&json!({"a": 0.97, "loss": 2.0, "neg": -2.0, "zero": 0.0}));
        let goals = json!({"a": "max", "loss": "min", "neg": "max", "zero": "max"});
        let table = [
            ("a max-worse 0.01", json!({"a": 0.96}), true),
            ("a max-worse 0.01", json!({"a": 0.9599}), false),
            ("a max-worse 0.01", json!({"a": 0.99}), true),
            ("a max-worse 10%", json!({"a": 0.874}), true),
            ("a max-worse 10%", json!({"a": 0.872}), false),
            ("a min-gain 0.01", json!({"a": 0.98}), true),
            ("a min-gain 0.01", json!({"a": 0.979}), false),
            ("loss max-worse 0.5", json!({"loss": 2.5}), true),
            ("loss max-worse 0.5", json!({"loss": 2.6}), false),
            ("loss min-gain 50%", json!({"loss": 1.0}), true),
            ("loss min-gain 50%", json!({"loss": 1.1}), false),
            ("neg max-worse 50%", json!({"neg": -3.0}), true),
            ("neg max-worse 50%", json!({"neg": -3.1}), false),
            ("zero max-worse 50%", json!({"zero": 0.0}), true),
            ("zero max-worse 50%", json!({"zero": -0.1}), false),
        ];
        for (bounds, metrics, holds) in table {
            let verdict = verdict(bounds, &metrics, &goals, Reference::Found(&found));
            assert_eq!(verdict.findings[0].holds, holds, "{bounds} {metrics} {:?}", verdict.findings);
        }
    }

    #[test]
    fn edges_of_the_baseline() {
        let metrics = json!({"a": 0.9});
        let goals = json!({"a": "max"});
        let absent = Reference::Found(&Baseline::Absent);
        assert_eq!(
            verdict("a max-worse 1", &metrics, &goals, absent).outcome,
            Outcome::Fail,
            "no absolute bound"
        );
        assert_eq!(verdict("a max-worse 1;a min 0.8", &metrics, &goals, absent).outcome, Outcome::Pass);
        assert_eq!(verdict("a max-worse 1;a min 0.95", &metrics, &goals, absent).outcome, Outcome::Fail);
        let other = baseline(&json!({"b": 1}));
        assert_eq!(
            verdict("a max-worse 1", &metrics, &goals, Reference::Found(&other)).outcome,
            Outcome::Fail
        );
        let down = Reference::Unavailable("connection refused");
        assert_eq!(verdict("a max-worse 1;a min 2", &metrics, &goals, down).outcome, Outcome::Undecided);
        let found = baseline(&json!({"a": 0.9}));
        assert_eq!(
            verdict("a max-worse 1", &metrics, &json!({}), Reference::Found(&found)).outcome,
            Outcome::Fail
        );
        assert_eq!(verdict("a max-worse 1", &metrics, &goals, Reference::None).outcome, Outcome::Fail);
    }

    #[test]
    fn expectations_count_and_an_empty_gate_does_not_pass() {
        let (metrics, goals) = (BTreeMap::new(), BTreeMap::new());
        let outcome = |expectations: &[(String, Result<bool, String>)]| {
            let reference = Reference::None;
            judge(&Case { bounds: &[], expectations, metrics: &metrics, goals: &goals, reference }).outcome
        };
        assert_eq!(outcome(&[]), Outcome::Fail);
        assert_eq!(outcome(&[("metrics.a > 1".to_owned(), Ok(true))]), Outcome::Pass);
        assert_eq!(outcome(&[("metrics.a > 1".to_owned(), Ok(false))]), Outcome::Fail);
        assert_eq!(outcome(&[("metrics.a > 1".to_owned(), Err("no".to_owned()))]), Outcome::Fail);
    }

    proptest! {
        #[test]
        fn a_finding_holds_exactly_when_its_margin_is_not_negative(
            value in -1e6_f64..1e6, base in -1e6_f64..1e6, amount in -1e3_f64..1e3, percent: bool, kind in 0..5, max: bool,
        ) {
            let kinds = [BoundKind::Min, BoundKind::Max, BoundKind::Equals, BoundKind::MaxWorse, BoundKind::MinGain];
            let kind = kinds[usize::try_from(kind).unwrap()];
            let bounds = vec![("m".to_owned(), vec![(kind, Limit { amount, percent })])];
            let metrics = BTreeMap::from([("m".to_owned(), json!(value))]);
            let goals = BTreeMap::from([("m".to_owned(), if max { "max" } else { "min" }.to_owned())]);
            let found = baseline(&json!({"m": base}));
            let reference = Reference::Found(&found);
            let case = Case { bounds: &bounds, expectations: NONE, metrics: &metrics, goals: &goals, reference };
            let verdict = judge(&case);
            let finding = &verdict.findings[0];
            prop_assert_eq!(finding.holds, finding.margin.is_some_and(|margin| margin >= 0.0));
            prop_assert_eq!(verdict.outcome == Outcome::Pass, finding.holds);
        }

        #[test]
        fn better_never_turns_a_pass_into_a_fail(
            value in -1e3_f64..1e3, better in 0.0_f64..1e3, base in -1e3_f64..1e3, amount in 0.0_f64..1e2, gain: bool, max: bool,
        ) {
            let kind = if gain { "min-gain" } else { "max-worse" };
            let bounds = format!("m {kind} {amount}");
            let goals = json!({"m": if max { "max" } else { "min" }});
            let found = baseline(&json!({"m": base}));
            let improved = if max { value + better } else { value - better };
            let before = verdict(&bounds, &json!({"m": value}), &goals, Reference::Found(&found)).outcome;
            let after = verdict(&bounds, &json!({"m": improved}), &goals, Reference::Found(&found)).outcome;
            prop_assert!(before != Outcome::Pass || after == Outcome::Pass);
        }
    }
}
