//! `consumes` of something that is no artifact, data source or model.

use crate::check::access::{Access, expressions};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::workflow::JobKind;

pub(super) const RULE: Rule = Rule {
    id: "missing-artifact",
    level: Level::Tidegate,
    about: "a job consumes what no job produces",
    check,
};

// A wrong artifact of a needed job is `undefined-output`; here is what is no path to one at all.
fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for job in &facts.workflow.jobs {
        for consume in &job.ml.consumes {
            if consume.from.is_literal() {
                let text = format!("`{}` is text, and no artifact: nothing produces it", consume.from.raw);
                let owner = facts.workflow.jobs.iter().find(|j| {
                    j.ml.produces.iter().any(|p| p.name.value.as_str() == consume.from.raw.as_ref())
                });
                let diagnostic = Diagnostic::error(RULE.id, consume.from.span, text);
                found.push(match owner {
                    Some(owner) => diagnostic.help(format!(
                        "`{0}` of `{1}` is written `${{{{ needs.{1}.artifacts.{0} }}}}`",
                        consume.from.raw, owner.id.value
                    )),
                    None => diagnostic
                        .help("name an artifact of a needed job, `data.<name>`, or a model of `models`"),
                });
                continue;
            }
            for (expr, inside) in expressions(&consume.from) {
                let Some(access) = Access::of(expr).filter(|a| a.is("needs")) else { continue };
                let (Some(id), part) = (access.name(0), access.name(1)) else { continue };
                let Some(needed) = facts.job(id) else { continue };
                let wrong = part.is_none_or(|p| {
                    !p.eq_ignore_ascii_case("artifacts") && !p.eq_ignore_ascii_case("instances")
                });
                let calls = matches!(needed.kind, JobKind::Call(_));
                if wrong && !calls {
                    let text = format!("this is not an artifact of `{id}`");
                    found.push(Diagnostic::error(RULE.id, facts.context.place(inside, expr), text).help(
                        format!("artifacts are `needs.{id}.artifacts.NAME`, declared under `produces`"),
                    ));
                }
            }
        }
    }
    found
}
