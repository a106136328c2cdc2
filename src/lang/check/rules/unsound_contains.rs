//! `contains('main develop', github.ref_name)`: a part of a word is in the text, too.

use crate::check::access::Access;
use crate::check::{Facts, Level, Rule};
use crate::expr::{Expr, ExprKind};
use crate::source::Diagnostic;
use crate::value::Value;

pub(super) const RULE: Rule = Rule {
    id: "unsound-contains",
    level: Level::Warning,
    about: "`contains` looks for a part of a text where a list of words is meant",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    facts.walk(|site, e, inside| {
        if !matches!(site.key, "jobs.<job_id>.if" | "jobs.<job_id>.steps.if") {
            return;
        }
        let Some(words) = words(e) else { return };
        let list: Vec<String> = words.map(|w| format!("\"{w}\"")).collect();
        let text = "this holds for every part of these words, too";
        found.push(
            Diagnostic::warning(RULE.id, facts.context.place(inside, e), text)
                .help(format!("give a list: `contains(fromJSON('[{}]'), …)`", list.join(", "))),
        );
    });
    found
}

/// The words of a text in which a value of a context is looked for.
fn words(e: &Expr) -> Option<std::str::SplitWhitespace<'_>> {
    let ExprKind::Call(name, arguments) = &e.kind else { return None };
    let [text, value] = arguments.as_slice() else { return None };
    let ExprKind::Literal(Value::String(text)) = &text.kind else { return None };
    let looks = name.eq_ignore_ascii_case("contains") && Access::of(value).is_some();
    (looks && text.split_whitespace().nth(1).is_some()).then(|| text.split_whitespace())
}
