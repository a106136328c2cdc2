//! A secret on a command line that prints it, or as text where it ends up in a log.

use crate::check::access::{Access, Inside, expressions};
use crate::check::printing::{self, How};
use crate::check::{Facts, Level, Rule};
use crate::expr::{BinaryOp, Expr, ExprKind, Template};
use crate::source::{Diagnostic, Span};
use crate::workflow::{Action, Job, Run, Step};
use std::ops::Range;

pub(super) const RULE: Rule =
    Rule { id: "secret-printed", level: Level::Tidegate, about: "a script prints a secret", check };

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (job, step) in facts.steps() {
        if let Action::Run(run) = &step.action {
            let written = written(facts, &run.script, &mut found);
            of_variables(facts, job, step, run, written, &mut found);
        }
    }
    facts.walk(|_, e, inside| {
        whole_secrets(facts, inside, e, &mut found);
        part_of_secret(facts, inside, e, &mut found);
    });
    found
}

/// The token of a run ends with it, and every step of many workflows has it.
const SHORT_LIVED: &str = "GITHUB_TOKEN";
const MASKS: &str = "logs mask a secret only as it is; parts and other spellings of it show";

/// `echo ${{ secrets.TOKEN }}`. Returns where secrets are written into the script itself.
fn written(facts: &Facts<'_>, script: &Template, found: &mut Vec<Diagnostic>) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    if !script.raw.contains("secrets") {
        return all;
    }
    let flat = flattened(script);
    for (expr, inside) in expressions(script) {
        let at = braces(script, expr, inside);
        for (e, name) in secrets(expr) {
            all.push(at.clone());
            let place = facts.context.place(inside, e);
            let env = format!("`env: {{ {name}: \"${{{{ secrets.{name} }}}}\" }}`");
            found.extend(printing::shown(&flat, &at).map(|how| {
                match how {
                    How::Printed => {
                        Diagnostic::error(RULE.id, place, format!("this line prints the secret `{name}`"))
                            .help(MASKS)
                            .help(format!("hand it to the program that needs it as a variable: {env}"))
                    }
                    How::Address => in_address(place, &name),
                }
            }));
        }
    }
    all
}

fn in_address(place: Span, secret: &str) -> Diagnostic {
    let text = format!("the secret `{secret}` is part of an address");
    Diagnostic::warning(RULE.id, place, text)
        .help("addresses are kept by servers, shown in messages and seen by every process of the machine")
        .help("send it as a header from a file or from standard input: `curl -H @- …`")
}

/// `echo "$TOKEN"`, where the variable was given a secret; and whatever prints all variables.
fn of_variables(
    facts: &Facts<'_>,
    job: &Job,
    step: &Step,
    run: &Run,
    written: Vec<Range<usize>>,
    found: &mut Vec<Diagnostic>,
) {
    let script = &run.script;
    let place = |at: &Range<usize>| facts.context.place_in_text(script, at.start, at.len());
    let mut uses = written;
    let mut held: Vec<(String, &str)> = Vec::new();
    let layers = [&step.env, &job.env, &facts.workflow.env];
    for (variable, value) in layers.into_iter().flat_map(|env| &env.variables) {
        let name = variable.value.as_str();
        let Some((_, secret)) = expressions(value).find_map(|(expr, _)| secrets(expr).pop()) else {
            continue;
        };
        if held.iter().any(|(_, known)| *known == name) {
            continue;
        }
        // What a shell makes of a variable is only guessed at: it does not keep a run from starting.
        let prints = |at: &Range<usize>| {
            let text = format!("this line prints the secret `{secret}`, which `{name}` holds");
            Diagnostic::warning(RULE.id, place(at), text).help(MASKS)
        };
        for at in printing::uses(&script.raw, name) {
            match printing::shown(&script.raw, &at) {
                Some(How::Printed) => found.push(prints(&at)),
                Some(How::Address) => found.push(in_address(place(&at), &secret)),
                None => {}
            }
            if secret != SHORT_LIVED {
                uses.push(at);
            }
        }
        found.extend(printing::programs(&script.raw, name).iter().map(prints));
        if secret != SHORT_LIVED {
            held.push((secret, name));
        }
    }
    if let Some(at) = printing::traced(&script.raw, &uses) {
        let text = "this prints every command with the values in it, and a secret is one of them";
        found.push(
            Diagnostic::warning(RULE.id, place(&at), text)
                .help("switch it off with `set +x` before the secret is used"),
        );
    }
    let Some((secret, name)) = held.first() else { return };
    let in_shell = run.shell.as_ref().is_none_or(|shell| !shell.raw.starts_with("python"));
    let mut dumps = printing::program_dumps(&script.raw);
    if in_shell {
        dumps.extend(printing::dumps(&script.raw));
    }
    for at in dumps {
        let text = format!("this prints every variable, and `{name}` holds the secret `{secret}`");
        found.push(Diagnostic::warning(RULE.id, place(&at), text).help(MASKS).help(
            "print the variables that are wanted by name, or give the secret to the one step that needs it",
        ));
    }
}

/// The secrets whose text reaches an expression's value: a comparison gives only true or false.
fn secrets(expr: &Expr) -> Vec<(&Expr, String)> {
    if let Some(name) = secret(expr) {
        return vec![(expr, name)];
    }
    match &expr.kind {
        ExprKind::Binary(BinaryOp::Or, a, b) => [secrets(a), secrets(b)].concat(),
        ExprKind::Binary(BinaryOp::And, _, b) => secrets(b),
        ExprKind::Call(name, arguments) => {
            let tests = ["contains", "startsWith", "endsWith"];
            if tests.iter().any(|t| t.eq_ignore_ascii_case(name)) {
                return Vec::new();
            }
            arguments.iter().flat_map(secrets).collect()
        }
        ExprKind::Property(base, _) | ExprKind::Index(base, _) => secrets(base),
        _ => Vec::new(),
    }
}

/// The secret that an expression is.
fn secret(expr: &Expr) -> Option<String> {
    let access = Access::of(expr).filter(|a| a.is("secrets") && a.segments.len() == 1)?;
    access.name(0).map(str::to_owned)
}

/// Where the `${{ }}` of an expression begins and ends.
fn braces(template: &Template, expr: &Expr, inside: Inside<'_>) -> Range<usize> {
    let (from, to) = ((inside.at + expr.start) as usize, (inside.at + expr.end) as usize);
    let start = template.raw.get(..from).and_then(|before| before.rfind("${{")).unwrap_or(from);
    let end = template.raw.get(to..).and_then(|after| after.find("}}")).map_or(to, |i| to + i + 2);
    start..end
}

/// The text with a word of the same length for each expression: an operator in it is none of the
/// shell's.
fn flattened(template: &Template) -> String {
    let mut bytes = template.raw.as_bytes().to_vec();
    for (expr, inside) in expressions(template) {
        if let Some(place) = bytes.get_mut(braces(template, expr, inside)) {
            place.fill(b'x');
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| template.raw.to_string())
}

/// `toJSON(secrets)` hands over every secret there is.
fn whole_secrets(facts: &Facts<'_>, inside: Inside<'_>, e: &Expr, found: &mut Vec<Diagnostic>) {
    if let ExprKind::Call(name, arguments) = &e.kind
        && name.eq_ignore_ascii_case("toJSON")
        && arguments.first().and_then(Access::of).is_some_and(|a| a.is("secrets") && a.segments.is_empty())
    {
        let text = "every secret of the project is handed over here";
        found.push(
            Diagnostic::warning(RULE.id, facts.context.place(inside, e), text)
                .help("name the secrets that are used"),
        );
    }
}

/// `fromJSON(secrets.KEY).password`: logs mask the secret, not what is inside of it.
fn part_of_secret(facts: &Facts<'_>, inside: Inside<'_>, e: &Expr, found: &mut Vec<Diagnostic>) {
    let (ExprKind::Property(base, _) | ExprKind::Index(base, _) | ExprKind::Star(base)) = &e.kind else {
        return;
    };
    if let ExprKind::Call(name, arguments) = &base.kind
        && name.eq_ignore_ascii_case("fromJSON")
        && let Some(secret) = arguments.first().and_then(secret)
    {
        let text = format!("logs mask the secret `{secret}`, and not a part of it such as this");
        found.push(
            Diagnostic::warning(RULE.id, facts.context.place(inside, e), text)
                .help("keep each part as a secret of its own"),
        );
    }
}
