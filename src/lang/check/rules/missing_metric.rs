//! `best(needs.job, 'metric')` over a metric that the job is not known to write.

use crate::check::access::{Access, Inside};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::expr::{Expr, ExprKind};
use crate::source::Diagnostic;
use crate::value::Value;

pub(super) const RULE: Rule = Rule {
    id: "missing-metric",
    level: Level::Tidegate,
    about: "`best()` compares instances by a metric that their job does not declare",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    facts.walk(|_, e, inside| {
        if let ExprKind::Call(name, arguments) = &e.kind
            && name.eq_ignore_ascii_case("best")
        {
            found.extend(best(facts, arguments, inside));
        }
    });
    found
}

fn best(facts: &Facts<'_>, arguments: &[Expr], inside: Inside<'_>) -> Option<Diagnostic> {
    let access = arguments.first().and_then(Access::of).filter(|a| a.is("needs"))?;
    let job = facts.job(access.name(0)?)?;
    let argument = arguments.get(1)?;
    let ExprKind::Literal(Value::String(metric)) = &argument.kind else { return None };
    let span = facts.context.place(inside, argument);
    let Some(metrics) = &job.ml.metrics else {
        let text =
            format!("`{}` names no file of metrics, so `{metric}` must come by `ML_METRICS`", job.id.value);
        return Some(Diagnostic::warning(RULE.id, span, text).related(job.id.span, "this job"));
    };
    let goals: Vec<&str> = metrics.goals.iter().map(|(n, _)| n.value.as_str()).collect();
    if goals.contains(&metric.as_ref()) {
        return None;
    }
    if let Some(near) = nearest(metric, goals.iter().copied()) {
        let text = format!("`{}` is not known to write a metric `{metric}`", job.id.value);
        let diagnostic = Diagnostic::error(RULE.id, span, text).label(format!("did you mean `{near}`?"));
        return Some(diagnostic.help(format!("under `goals`: {}", list(goals.iter().copied()))));
    }
    (arguments.len() < 3).then(|| {
        let text = format!(
            "what is better for `{metric}`, more or less? `goals` of `{}` does not say",
            job.id.value
        );
        Diagnostic::error(RULE.id, span, text)
            .help(format!("add `goals: {{ {metric}: max }}` there, or a third argument, `'max'` or `'min'`"))
    })
}
