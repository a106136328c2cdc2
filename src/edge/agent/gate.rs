//! `gate`: the attempt's metrics against bounds and a baseline.

use super::job::Job;
use super::keep::METRICS_LIMIT;
use super::scope::{Failed, Scope};
use std::collections::BTreeMap;
use tidegate_flow::gate::{Baseline, Case, Limit, Outcome, Reference, Verdict, judge};
use tidegate_flow::job::{Answer, FailureClass, GateSpec, MessageBody, Question, parse_metrics};
use tidegate_lang::workflow::BoundKind;

type Bounds = Vec<(String, Vec<(BoundKind, Limit)>)>;

impl Job<'_> {
    /// Judges a gate; a verdict other than pass fails the step.
    pub(super) fn run_gate(
        &mut self,
        scope: &Scope,
        env: &[(String, String)],
        gate: &GateSpec,
    ) -> Result<Vec<(String, String)>, Failed> {
        self.read_metrics(scope);
        let bounds = self.bounds(scope, env, gate)?;
        let mut expectations = Vec::new();
        for text in &gate.expect {
            expectations.push((text.clone(), self.truth(text, scope, env)));
        }
        let expectations: Vec<(String, Result<bool, String>)> =
            expectations.into_iter().map(|(t, r)| (t, r.map_err(|f| f.reason))).collect();
        let wanted = gate.baseline.as_ref().map(|b| self.text(b, scope, env)).transpose()?;
        let found = wanted.as_deref().map(|w| self.baseline(w)).transpose()?;
        let reference = match &found {
            None => Reference::None,
            Some(Ok(baseline)) => Reference::Found(baseline),
            Some(Err(reason)) => Reference::Unavailable(reason),
        };
        let goals = self.spec.metrics.goals.clone();
        let verdict = judge(&Case {
            bounds: &bounds,
            expectations: &expectations,
            metrics: &self.metrics,
            goals: &goals,
            reference,
        });
        self.say_verdict(scope, verdict)
    }

    /// Sends a verdict; turns one that is no pass into a failure of the step.
    pub(super) fn say_verdict(
        &mut self,
        scope: &Scope,
        verdict: Verdict,
    ) -> Result<Vec<(String, String)>, Failed> {
        let broken: Vec<String> = verdict
            .findings
            .iter()
            .filter(|f| !f.holds)
            .map(|f| match (f.value, f.bound, &f.note) {
                (Some(value), Some(bound), _) => format!("{} is {value}, the bound is {bound}", f.subject),
                (_, _, Some(note)) => format!("{}: {note}", f.subject),
                _ => f.subject.clone(),
            })
            .collect();
        let outcome = verdict.outcome;
        for finding in &verdict.findings {
            let sign = if finding.holds { "holds" } else { "does not hold" };
            let numbers = [
                ("it is", finding.value),
                ("the bound is", finding.bound),
                ("the baseline is", finding.baseline),
                ("the margin is", finding.margin),
            ];
            let numbers = numbers.iter().filter_map(|(name, n)| n.map(|n| format!(", {name} {n}")));
            let numbers: String = numbers.collect();
            let note = finding.note.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            self.output.note(&format!("{} {sign}{numbers}{note}", finding.subject));
        }
        self.link.say(MessageBody::Judged { step: scope.top, verdict: self.masked(verdict) });
        let why = broken.first().cloned().unwrap_or_default();
        match outcome {
            Outcome::Pass => Ok(vec![("outcome".to_owned(), "pass".to_owned())]),
            Outcome::Fail => Err(Failed::new(FailureClass::Gate, format!("stopped by a gate: {why}"))),
            Outcome::Undecided => {
                Err(Failed::new(FailureClass::Failure, format!("the gate could not be judged: {why}")))
            }
        }
    }

    fn masked(&self, mut verdict: Verdict) -> Verdict {
        for finding in &mut verdict.findings {
            finding.subject = self.output.masks.apply(&finding.subject);
            finding.note = finding.note.as_ref().map(|n| self.output.masks.apply(n));
        }
        verdict
    }

    fn bounds(&self, scope: &Scope, env: &[(String, String)], gate: &GateSpec) -> Result<Bounds, Failed> {
        let mut all = Vec::new();
        for (metric, bounds) in &gate.metrics {
            let mut limits = Vec::new();
            for (kind, template) in bounds {
                let text = self.text(template, scope, env)?;
                let limit =
                    Limit::parse(&text).map_err(|e| Failed::user(format!("gate, metric {metric}: {e}")))?;
                limits.push((*kind, limit));
            }
            all.push((metric.clone(), limits));
        }
        Ok(all)
    }

    /// Finds the baseline: a file of the project, or what the engine knows.
    fn baseline(&self, wanted: &str) -> Result<Result<Baseline, String>, Failed> {
        let is_file = !wanted.starts_with("branch:") && !wanted.contains('@');
        if is_file {
            let bytes = match self.fence.read(&self.place.project.join(wanted), METRICS_LIMIT) {
                Ok(bytes) => bytes,
                Err(e) => return Err(Failed::user(format!("the baseline {wanted} cannot be read: {e}"))),
            };
            let metrics =
                parse_metrics(&bytes).map_err(|e| Failed::user(format!("the baseline {wanted}: {e}")))?;
            let metrics: BTreeMap<String, f64> = metrics
                .into_iter()
                .filter_map(|(k, v)| v.as_f64().filter(|n| n.is_finite()).map(|n| (k, n)))
                .collect();
            return Ok(Ok(Baseline::Metrics { from: wanted.to_owned(), metrics }));
        }
        match self.link.ask(Question::Baseline { baseline: wanted.to_owned() }) {
            Some(Answer::Baseline(baseline)) => Ok(Ok(baseline)),
            Some(Answer::Unavailable(reason)) => Ok(Err(reason)),
            Some(_) => Ok(Err("the engine answered something else".to_owned())),
            None => Err(Failed::user("cancelled while the baseline was asked for")),
        }
    }
}
