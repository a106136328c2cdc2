//! Inputs of local actions: unknown, missing, deprecated; and local actions that are not there.

use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, LocalAction, Rule};
use crate::source::Diagnostic;
use crate::workflow::{Action, ActionFile, Uses};

pub(super) const RULE: Rule = Rule {
    id: "action-inputs",
    level: Level::Tidegate,
    about: "a local action is not there, or is given inputs that it does not have",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        let Action::Uses(uses) = &step.action else { continue };
        if !uses.uses.value.starts_with("./") {
            continue;
        }
        match (facts.context.actions)(&uses.uses.value) {
            LocalAction::Found(action) => inputs(uses, &action, &mut found),
            LocalAction::Missing => {
                let text = format!("there is no action.yml in `{}`", uses.uses.value);
                // An earlier step may write it, so it is only likely to be wrong.
                found.push(Diagnostic::warning(RULE.id, uses.uses.span, text));
            }
            LocalAction::Unknown => {}
        }
    }
    found
}

fn inputs(uses: &Uses, action: &ActionFile, found: &mut Vec<Diagnostic>) {
    let known = action.inputs.iter().map(|i| i.name.value.as_str());
    for (name, _) in &uses.with {
        let input = action.inputs.iter().find(|i| i.name.value.eq_ignore_ascii_case(&name.value));
        match input {
            None if matches!(name.value.as_str(), "entrypoint" | "args")
                && action.using.value == "docker" => {}
            None => {
                let text = format!("`{}` has no input `{}`", uses.uses.value, name.value);
                let diagnostic = Diagnostic::error(RULE.id, name.span, text);
                found.push(match nearest(&name.value, known.clone()) {
                    Some(near) => diagnostic.label(format!("did you mean `{near}`?")).fix(name.span, near),
                    None if action.inputs.is_empty() => diagnostic.help("it has no inputs"),
                    None => diagnostic.help(format!("its inputs are {}", list(known.clone()))),
                });
            }
            Some(input) => {
                if let Some(message) = &input.deprecation {
                    let text = format!("input `{}` is deprecated: {message}", name.value);
                    found.push(Diagnostic::warning(RULE.id, name.span, text));
                }
            }
        }
    }
    let missing = action.inputs.iter().filter(|i| {
        i.required
            && i.default.is_none()
            && !uses.with.iter().any(|(n, _)| n.value.eq_ignore_ascii_case(&i.name.value))
    });
    for input in missing {
        let text = format!("`{}` needs the input `{}`", uses.uses.value, input.name.value);
        found.push(
            Diagnostic::error(RULE.id, uses.uses.span, text)
                .help(format!("add it under `with`: `{}: …`", input.name.value)),
        );
    }
}
