//! A secret on a command line that prints it, or as text where it ends up in a log.

use crate::check::access::{Access, Inside, expressions};
use crate::check::{Facts, Level, Rule};
use crate::expr::{ExprKind, Part, Template};
use crate::source::Diagnostic;
use crate::workflow::Action;

pub(super) const RULE: Rule =
    Rule { id: "secret-printed", level: Level::Tidegate, about: "a script prints a secret", check };

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (_, step) in facts.steps() {
        if let Action::Run(run) = &step.action {
            script(facts, &run.script, &mut found);
        }
    }
    found.extend(whole_secrets(facts));
    found
}

fn script(facts: &Facts<'_>, script: &Template, found: &mut Vec<Diagnostic>) {
    let mut line = String::new();
    for (index, part) in script.parts.iter().enumerate() {
        let (expr, inside) = match part {
            Part::Literal(text) => {
                match text.rsplit_once('\n') {
                    Some((_, last)) => last.clone_into(&mut line),
                    None => line.push_str(text),
                }
                continue;
            }
            Part::Expr(expr, at) => (expr, Inside { template: script, at: *at }),
        };
        if !prints(&line) || is_led_away(script.parts.get(index + 1..).unwrap_or_default()) {
            continue;
        }
        expr.walk(&mut |e| {
            let Some(access) = Access::of(e).filter(|a| a.is("secrets") && a.segments.len() == 1) else {
                return;
            };
            let name = access.name(0).unwrap_or("NAME");
            let text = format!("this line prints the secret `{name}`");
            let env = format!("`env: {{ {name}: \"${{{{ secrets.{name} }}}}\" }}`");
            found.push(
                Diagnostic::error(RULE.id, facts.context.place(inside, e), text)
                    .help("logs mask a secret only as it is; parts and other spellings of it show")
                    .help(format!("hand it to the program that needs it as a variable: {env}")),
            );
        });
    }
}

/// Tells whether the rest of the line sends the output into a file or another program.
fn is_led_away(rest: &[Part]) -> bool {
    for part in rest {
        if let Part::Literal(text) = part {
            let line = text.split('\n').next().unwrap_or_default();
            if line.contains(['|', '>']) {
                return true;
            }
            if text.contains('\n') {
                return false;
            }
        }
    }
    false
}

/// Tells whether the command that a line has begun prints its arguments to the log: the output
/// goes nowhere else as far as the text before the secret shows.
fn prints(line: &str) -> bool {
    let command = line.rsplit(['|', ';', '&', '(']).next().unwrap_or(line).trim_start();
    let word = command.split_whitespace().next().unwrap_or_default();
    matches!(word, "echo" | "printf" | "print" | "Write-Host" | "Write-Output") && !command.contains('>')
}

/// `toJSON(secrets)` hands over every secret there is.
fn whole_secrets(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for site in &facts.sites {
        for (expr, inside) in expressions(site.template) {
            expr.walk(&mut |e| {
                if let ExprKind::Call(name, arguments) = &e.kind
                    && name.eq_ignore_ascii_case("toJSON")
                    && arguments
                        .first()
                        .and_then(Access::of)
                        .is_some_and(|a| a.is("secrets") && a.segments.is_empty())
                {
                    let text = "every secret of the project is handed over here";
                    found.push(
                        Diagnostic::warning(RULE.id, facts.context.place(inside, e), text)
                            .help("name the secrets that are used"),
                    );
                }
            });
        }
    }
    found
}
