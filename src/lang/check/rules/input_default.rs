//! Defaults of inputs that cannot be, or are never used.

use crate::check::suggest::list;
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;
use crate::value::Value;
use crate::workflow::{InputKind, TreeKind};

pub(super) const RULE: Rule = Rule {
    id: "input-default",
    level: Level::Tidegate,
    about: "the default of an input is none of its options, or is never used",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for input in &facts.workflow.on.dispatch_inputs {
        let Some(default) = &input.default else { continue };
        let TreeKind::Literal(Value::String(text)) = &default.kind else { continue };
        let options = input.options.iter().map(|o| o.value.as_str());
        if input.kind == InputKind::Choice && !options.clone().any(|o| o == text.as_ref()) {
            let message = format!("`{text}` is none of the options of `{}`", input.name.value);
            found.push(
                Diagnostic::error(RULE.id, default.span, message).help(format!("options: {}", list(options))),
            );
        }
    }
    for input in facts.workflow.on.call.iter().flat_map(|c| &c.inputs) {
        if let (true, Some(default)) = (input.required, &input.default) {
            let message = format!("`{}` is required, so its default is never used", input.name.value);
            found.push(Diagnostic::warning(RULE.id, default.span, message));
        }
    }
    found
}
