//! What a gate or a validation said, as a table with its numbers.

use super::{Style, metric};
use tidegate_flow::gate::{Finding, Verdict};
use tidegate_lang::workflow::BoundKind;

/// Writes a line for each finding, columns aligned: subject, comparison, margin.
pub fn verdict_lines(verdict: &Verdict, style: Style) -> Vec<String> {
    let rows: Vec<(&Finding, String, String)> =
        verdict.findings.iter().map(|f| (f, comparison(f), margin(f))).collect();
    let subjects = rows.iter().map(|(f, ..)| f.subject.chars().count()).max().unwrap_or(0).min(40);
    let comparisons = rows.iter().map(|(_, c, _)| c.chars().count()).max().unwrap_or(0).min(48);
    rows.iter()
        .map(|(finding, comparison, margin)| {
            let line = format!("{:subjects$} {comparison:comparisons$}", finding.subject);
            let margin = if finding.holds { style.dim(margin) } else { style.bad(margin) };
            if margin.is_empty() { line.trim_end().to_owned() } else { format!("{line}   {margin}") }
        })
        .collect()
}

/// `0.938 < 0.961 − 0.005 (production, max-worse)`.
fn comparison(finding: &Finding) -> String {
    let Some(bound) = finding.bound else {
        return String::new();
    };
    let Some(value) = finding.value else {
        return format!("no number, wanted {} {}", wanted(finding), metric(bound));
    };
    let mut text = format!("{} {} {}", metric(value), relation(finding, value, bound), metric(bound));
    if let (Some(base), Some(kind)) = (finding.baseline, finding.kind)
        && matches!(kind, BoundKind::MaxWorse | BoundKind::MinGain)
    {
        let sign = if bound < base { '−' } else { '+' };
        text = format!(
            "{} {} {} {sign} {} ({})",
            metric(value),
            relation(finding, value, bound),
            metric(base),
            metric((bound - base).abs()),
            word(kind)
        );
    } else if let (Some(kind), false) = (finding.kind, finding.holds) {
        text = format!("{text} ({})", word(kind));
    }
    text
}

fn relation(finding: &Finding, value: f64, bound: f64) -> &'static str {
    match (finding.kind, finding.holds) {
        (Some(BoundKind::Equals), true) => "=",
        (Some(BoundKind::Equals), false) => "≠",
        (_, true) => {
            if value >= bound && wanted(finding) == "≥" {
                "≥"
            } else {
                "≤"
            }
        }
        (_, false) => {
            if value < bound {
                "<"
            } else {
                ">"
            }
        }
    }
}

/// Which way the bound points. For a relative bound only the margin tells the metric's direction.
fn wanted(finding: &Finding) -> &'static str {
    match finding.kind {
        Some(BoundKind::Equals) => "=",
        Some(BoundKind::Max) => "≤",
        Some(BoundKind::Min) | None => "≥",
        Some(BoundKind::MaxWorse | BoundKind::MinGain) => {
            match (finding.value, finding.bound, finding.margin) {
                (Some(value), Some(bound), Some(margin)) if (value - bound) * margin < 0.0 => "≤",
                _ => "≥",
            }
        }
    }
}

fn word(kind: BoundKind) -> &'static str {
    match kind {
        BoundKind::Min => "min",
        BoundKind::Max => "max",
        BoundKind::Equals => "equals",
        BoundKind::MaxWorse => "max-worse",
        BoundKind::MinGain => "min-gain",
    }
}

fn margin(finding: &Finding) -> String {
    let mut parts = Vec::new();
    match (finding.margin, finding.holds) {
        (Some(margin), true) if margin != 0.0 => parts.push(format!("{} to spare", metric(margin.abs()))),
        (Some(margin), false) => parts.push(format!("short by {}", metric(margin.abs()))),
        (_, true) => parts.push("holds".to_owned()),
        (None, false) if finding.note.is_none() => parts.push("does not hold".to_owned()),
        (None, false) => {}
    }
    parts.extend(finding.note.clone());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::gate::Outcome;

    fn finding(subject: &str, kind: BoundKind, value: f64, bound: f64, margin: f64) -> Finding {
        Finding {
            subject: subject.to_owned(),
            kind: Some(kind),
            value: Some(value),
            bound: Some(bound),
            baseline: None,
            margin: Some(margin),
            holds: margin >= 0.0,
            note: None,
        }
    }

    #[test]
    fn the_numbers_line_up() {
        let mut relative = finding("accuracy", BoundKind::MaxWorse, 0.938, 0.956, -0.018);
        relative.baseline = Some(0.961);
        let verdict = Verdict {
            outcome: Outcome::Fail,
            findings: vec![
                finding("accuracy", BoundKind::Min, 0.938, 0.95, -0.012),
                relative,
                finding("latency_ms", BoundKind::Max, 3.1, 20.0, 16.9),
            ],
        };
        assert_eq!(
            verdict_lines(&verdict, Style::default()),
            [
                "accuracy   0.938 < 0.95 (min)                 short by 0.012",
                "accuracy   0.938 < 0.961 − 0.005 (max-worse)   short by 0.018",
                "latency_ms 3.1 ≤ 20                           16.9 to spare",
            ]
            .map(|l| l
                .replace("(min)                 s", "(min)                  s")
                .replace("20                           1", "20                            1"))
        );
    }
}
