//! A secret on a command line that prints it, or as text where it ends up in a log.

use crate::check::access::{Access, Inside, expressions};
use crate::check::{Facts, Level, Rule};
use crate::expr::{ExprKind, Part, Template};
use crate::source::Diagnostic;
use crate::workflow::{Action, Env};

pub(super) const RULE: Rule =
    Rule { id: "secret-printed", level: Level::Tidegate, about: "a script prints a secret", check };

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (job, step) in facts.steps() {
        if let Action::Run(run) = &step.action {
            script(facts, &run.script, &mut found);
            for env in [&step.env, &job.env, &facts.workflow.env] {
                variables(facts, &run.script, env, &mut found);
            }
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
        if !prints(&line) || is_led_away(&rest(script.parts.get(index + 1..).unwrap_or_default())) {
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

/// Programs that print what they read in another spelling, which no mask knows.
const ENCODERS: &[&str] = &[
    "base64", "base32", "xxd", "od", "hexdump", "rev", "tr", "sed", "cut", "fold", "head", "tail", "cat",
    "tee",
];

/// Tells whether the rest of a line sends the output into a file or another program.
fn is_led_away(rest: &str) -> bool {
    let line = rest.split('\n').next().unwrap_or_default();
    let command = ["||", "&&", ";"].iter().filter_map(|end| line.find(end)).min();
    let command = line.get(..command.unwrap_or(line.len())).unwrap_or_default();
    if command.contains('>') {
        return true;
    }
    command.rsplit_once('|').is_some_and(|(_, last)| {
        let word = last.split_whitespace().next().unwrap_or_default();
        !ENCODERS.contains(&word)
    })
}

/// What follows a part of a script, with a word for each expression.
fn rest(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => text.as_ref(),
            Part::Expr(..) => "x",
        })
        .collect()
}

/// `echo "$TOKEN"`, where the variable was given a secret.
fn variables(facts: &Facts<'_>, script: &Template, env: &Env, found: &mut Vec<Diagnostic>) {
    for (variable, value) in &env.variables {
        let Some(secret) = expressions(value).find_map(|(expr, _)| {
            let access = Access::of(expr).filter(|a| a.is("secrets") && a.segments.len() == 1)?;
            access.name(0).map(str::to_owned)
        }) else {
            continue;
        };
        let name = variable.value.as_str();
        for (at, length) in uses(&script.raw, name) {
            let before = script.raw.get(..at).unwrap_or_default();
            let line = before.rsplit('\n').next().unwrap_or_default();
            let after = script.raw.get(at + length..).unwrap_or_default();
            if !prints(line) || is_led_away(after) {
                continue;
            }
            // What a shell makes of a variable is only guessed at: it does not keep a run from starting.
            let text = format!("this line prints the secret `{secret}`, which `{name}` holds");
            found.push(
                Diagnostic::warning(RULE.id, facts.context.place_in_text(script, at, length), text)
                    .help("logs mask a secret only as it is; parts and other spellings of it show"),
            );
        }
    }
}

/// Where a script uses a variable's value: `$NAME`, `${NAME}`, `$env:NAME`.
fn uses(script: &str, name: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for form in [format!("${name}"), format!("${{{name}}}"), format!("$env:{name}")] {
        for (at, text) in script.match_indices(&form) {
            let next = script.get(at + text.len()..).and_then(|rest| rest.chars().next());
            let ends = form.ends_with('}') || !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            let escaped = script.get(..at).is_some_and(|before| before.ends_with('\\'));
            if ends && !escaped {
                found.push((at, text.len()));
            }
        }
    }
    found
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
