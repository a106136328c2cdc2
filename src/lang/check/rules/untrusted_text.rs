//! Text that strangers write, in a place where it becomes a program, an image, a path or a choice of
//! the machine. How it is followed there: `taint`.

use crate::check::access::expressions;
use crate::check::sites::Sink;
use crate::check::taint::{Body, Handing, Reached, Target};
use crate::check::{Facts, Level, LocalAction, Rule};
use crate::source::Diagnostic;
use crate::workflow::Action;
use std::cell::Cell;

pub(super) const RULE: Rule = Rule {
    id: "untrusted-text",
    level: Level::Tidegate,
    about: "text that strangers can write flows into a script, an image or a path",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let budget = Cell::new(Body::BUDGET);
    let body = Body::root(facts.workflow, facts.called, facts.context, &budget);
    for site in facts.sites.iter().filter(|s| s.sink != Sink::Value) {
        for (expr, inside) in expressions(site.template) {
            for (part, name) in body.parts(expr, site.into()) {
                let text =
                    format!("anyone can write `{name}`, and here it becomes part of {}", noun(site.sink));
                let diagnostic = Diagnostic::error(RULE.id, facts.context.place(inside, part), text);
                found.push(mended(diagnostic, site.sink, &name));
            }
        }
    }
    for handing in body.handings() {
        handed(facts, &body, &handing, &mut found);
    }
    let mut seen: Vec<&str> = Vec::new();
    for (_, step) in facts.steps() {
        let Action::Uses(uses) = &step.action else { continue };
        let name = uses.uses.value.as_str();
        if !name.starts_with("./") || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let LocalAction::Found(action) = (facts.context.actions)(name) else { continue };
        if let Some(end) = body.ends_of_action(action).first() {
            let text = format!("`{name}` makes text that anyone can write part of {}", noun(end.sink));
            found.push(Diagnostic::error(RULE.id, uses.uses.span, text).help(
                "in its action.yml, pass the text as a variable: `env: { TEXT: \"${{ … }}\" }`, `\"$TEXT\"`",
            ));
        }
    }
    found
}

/// What is handed to a file of the project that makes it a script, an image or a path.
fn handed(facts: &Facts<'_>, body: &Body<'_>, handing: &Handing<'_>, found: &mut Vec<Diagnostic>) {
    let mut ends: Option<Vec<Reached>> = None;
    for (expr, inside) in handing.value.iter().flat_map(|value| expressions(value)) {
        for (part, name) in body.parts(expr, handing.place) {
            let ends = ends.get_or_insert_with(|| body.ends(handing));
            let Some(first) = ends.first() else { return };
            let text = format!(
                "anyone can write `{name}`, and `{}` makes its input `{}` part of {}",
                handing.uses,
                handing.name,
                noun(first.sink)
            );
            let mut diagnostic = Diagnostic::error(RULE.id, facts.context.place(inside, part), text);
            // The text of an action is not at hand, so no line of it can be shown.
            let shown = ends.iter().filter(|end| facts.context.sources.get(end.span.file).is_some());
            for end in shown.take(3) {
                diagnostic = diagnostic.related(end.span, format!("becomes part of {} here", noun(end.sink)));
            }
            let there = match handing.target {
                Target::Workflow(_) => "the called workflow",
                Target::Action(_) => "the action",
            };
            let variable = variable(handing.name);
            found.push(match first.sink {
                Sink::Script => diagnostic
                    .help(format!(
                        "in {there}, pass it as a variable: `env: {{ {variable}: \"${{{{ inputs.{} }}}}\" }}`",
                        handing.name
                    ))
                    .help(format!("and use it in the script as `\"${variable}\"`")),
                _ => diagnostic.help(TRUSTED),
            });
        }
    }
}

const TRUSTED: &str = "use a value that only people with write access can choose";

fn mended(diagnostic: Diagnostic, sink: Sink, name: &str) -> Diagnostic {
    if sink != Sink::Script {
        return diagnostic.help(TRUSTED);
    }
    let variable = variable(name);
    diagnostic
        .label("runs whatever it contains")
        .help(format!("pass it as a variable: `env: {{ {variable}: \"${{{{ {name} }}}}\" }}`"))
        .help(format!("and use it in the script as `\"${variable}\"`"))
}

fn noun(sink: Sink) -> &'static str {
    match sink {
        Sink::Script => "a script",
        Sink::Image => "the name of an image",
        Sink::Machine => "the choice of a machine",
        Sink::Path | Sink::Value => "a path or a command line",
    }
}

/// A name for the variable that carries the text: the last two segments.
fn variable(path: &str) -> String {
    let parts: Vec<&str> = path.split(['.', '[', ']', '*']).filter(|p| !p.is_empty()).collect();
    let last = parts.iter().rev().take(2).rev().filter(|p| !matches!(**p, "github" | "event"));
    last.map(|p| p.to_ascii_uppercase().replace('-', "_")).collect::<Vec<_>>().join("_")
}
