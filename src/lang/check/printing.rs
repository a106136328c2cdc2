//! Which places of a script show a variable's value in the log.
//!
//! Text only: a script is read line by line, as a person skims it. What goes into a file or through
//! a program that does not only write it differently counts as hidden. Not here: which variables
//! matter, and what is said of them (`rules/secret_printed`).

use std::ops::Range;

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A command prints its arguments or its input.
    Printed,
    /// It is part of an address, which ends in logs, histories and lists of processes.
    Address,
}

/// Programs that print what they read in another spelling, which no mask knows.
const ENCODERS: &[&str] = &[
    "base64", "base32", "xxd", "od", "hexdump", "rev", "tr", "sed", "cut", "fold", "head", "tail", "cat",
    "tee",
];

/// Programs that pass on all they read.
const PASSING: &[&str] = &["sort", "cat", "tee", "less", "more", "base64", "head", "tail", "nl", "column"];

/// Commands that print all variables.
const DUMPS: &[&str] = &[
    "env",
    "printenv",
    "set",
    "export",
    "export -p",
    "declare -p",
    "declare -x",
    "declare -xp",
    "env -0",
    "compgen -v -A variable",
    "get-childitem env:",
    "gci env:",
    "dir env:",
    "ls env:",
];

/// Returns where a script uses a variable's value: `$NAME`, `${NAME}`, `$env:NAME`.
pub(super) fn uses(script: &str, name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !script.contains(name) {
        return found;
    }
    for form in [format!("${name}"), format!("${{{name}}}"), format!("$env:{name}")] {
        for (at, text) in script.match_indices(&form) {
            let next = script.get(at + text.len()..).and_then(|rest| rest.chars().next());
            let ends = form.ends_with('}') || !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            let escaped = script.get(..at).is_some_and(|before| before.ends_with('\\'));
            if ends && !escaped {
                found.push(at..at + text.len());
            }
        }
    }
    found
}

/// Tells how a use is shown, if it is.
pub(super) fn shown(script: &str, at: &Range<usize>) -> Option<How> {
    let before = script.get(..at.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let after = script.get(at.end..).unwrap_or_default();
    if line.trim_start().starts_with('#') {
        return None;
    }
    if (prints(line) && !is_led_away(after)) || in_document(before) {
        return Some(How::Printed);
    }
    in_address(line).then_some(How::Address)
}

/// Tells whether the command that a line has begun prints its arguments to the log: the output
/// goes nowhere else as far as the text before the use shows.
fn prints(line: &str) -> bool {
    let command = line.rsplit(['|', ';', '&', '(']).next().unwrap_or(line).trim_start();
    let word = command.split_whitespace().next().unwrap_or_default();
    let prints = matches!(word, "echo" | "printf" | "print" | "Write-Host" | "Write-Output")
        || (ENCODERS.contains(&word) && command.contains("<<<"));
    prints && !command.contains('>')
}

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

/// Tells whether a text ends in a here-document that `cat` prints, with its variables filled in.
fn in_document(before: &str) -> bool {
    let Some(at) = before.rfind("<<") else { return false };
    let line = before.get(..at).and_then(|b| b.rsplit('\n').next()).unwrap_or_default().trim_start();
    let Some((opening, body)) = before.get(at + 2..).and_then(|rest| rest.split_once('\n')) else {
        return false;
    };
    let word = opening.trim_start_matches('-').trim();
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && line.trim_end() == "cat" && body.lines().all(|l| l.trim() != word)
}

/// Tells whether a line has begun the address that a program fetches.
fn in_address(line: &str) -> bool {
    let command = line.rsplit(['|', ';', '(']).next().unwrap_or(line).trim_start();
    let program = command.split_whitespace().next().unwrap_or_default();
    let word = command.rsplit([' ', '\t', '"', '\'']).next().unwrap_or_default();
    matches!(program, "curl" | "wget") && word.contains("://")
}

/// Returns where a script prints all its variables.
pub(super) fn dumps(script: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut document: Option<&str> = None;
    let mut start = 0;
    for line in script.split_inclusive('\n') {
        let at = start;
        start += line.len();
        if let Some(word) = document {
            if line.trim() == word {
                document = None;
            }
            continue;
        }
        document = opened(line);
        let mut from = at;
        for command in line.split(';').flat_map(|part| part.split("&&")) {
            // Each piece is a part of the line, so its place is how far it lies behind the line's.
            if let Some(inside) = script.get(from..).and_then(|rest| rest.find(command)) {
                from += inside;
            }
            let (first, rest) = command.split_once('|').unwrap_or((command, ""));
            let text = first.trim();
            let goes_on = rest.split('|').map(|next| next.split_whitespace().next().unwrap_or_default());
            let all = rest.is_empty() || goes_on.into_iter().all(|word| PASSING.contains(&word));
            if DUMPS.iter().any(|dump| text.eq_ignore_ascii_case(dump)) && all && !command.contains('>') {
                let blank = first.len() - first.trim_start().len();
                found.push(from + blank..from + blank + text.len());
            }
            from += command.len();
        }
    }
    found
}

/// The word that ends the here-document which a line begins.
fn opened(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<<").filter(|(_, rest)| !rest.starts_with('<'))?;
    let word = rest.trim_start_matches(['-', '~']).split_whitespace().next()?;
    Some(word.trim_matches(['"', '\'', '\\']))
}

/// Returns the first switch that makes the shell print every command before it runs, if one of the
/// uses comes after it, and before it is switched off.
pub(super) fn traced(script: &str, uses: &[Range<usize>]) -> Option<Range<usize>> {
    let mut start = 0;
    let mut on: Option<Range<usize>> = None;
    for line in script.split_inclusive('\n') {
        let text = line.trim();
        let at = start + (line.len() - line.trim_start().len());
        let here = start..start + line.len();
        start += line.len();
        if let Some(switch) = text.strip_prefix("set -").or_else(|| text.strip_prefix("set +")) {
            let flags = switch.split_whitespace().next().unwrap_or_default();
            let tracing = flags.contains('x') || switch.contains("xtrace");
            if tracing && text.starts_with("set +") {
                on = None;
            } else if tracing && on.is_none() {
                on = Some(at..at + text.len());
            }
        } else if on.is_some() && !text.starts_with('#') && uses.iter().any(|u| here.contains(&u.start)) {
            return on;
        }
    }
    None
}

/// Calls that print their arguments, in Python and JavaScript.
const CALLS: &[&str] = &["print(", "pprint(", "stdout.write(", "console.log("];

/// Returns where a program's text inside a script prints a variable of the environment.
pub(super) fn programs(script: &str, name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !script.contains(name) {
        return found;
    }
    for form in [
        format!("os.environ[\"{name}\"]"),
        format!("os.environ['{name}']"),
        format!("os.environ.get(\"{name}\")"),
        format!("os.environ.get('{name}')"),
        format!("os.getenv(\"{name}\")"),
        format!("os.getenv('{name}')"),
        format!("process.env.{name}"),
    ] {
        for (at, _) in script.match_indices(&form) {
            if is_argument(script, at, at + form.len()) {
                found.push(at..at + form.len());
            }
        }
    }
    found
}

/// Tells whether a part of a line is an argument of a printing call as it is, and not only looked at.
fn is_argument(script: &str, from: usize, to: usize) -> bool {
    let before = script.get(..from).and_then(|b| b.rsplit('\n').next()).unwrap_or_default();
    let after = script.get(to..).and_then(|a| a.split('\n').next()).unwrap_or_default();
    let Some(call) = CALLS.iter().filter_map(|c| before.rfind(c).map(|i| i + c.len())).max() else {
        return false;
    };
    let arguments = before.get(call..).unwrap_or_default();
    if before.trim_start().starts_with('#') || arguments.matches(')').count() > arguments.matches('(').count()
    {
        return false;
    }
    let lead = arguments.trim_end();
    let lead = lead.strip_suffix("str(").or_else(|| lead.strip_suffix("repr(")).unwrap_or(lead);
    let begins = lead.is_empty() || lead.ends_with([',', '{', '+', '%']);
    let rest = after.trim_start();
    begins && (rest.is_empty() || rest.starts_with([')', ',', '}', '+', '[', '.', ';', '!', ':']))
}

/// Returns where a Python program prints its whole environment.
pub(super) fn program_dumps(script: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for form in ["print(os.environ)", "print(dict(os.environ))", "console.log(process.env)"] {
        found.extend(script.match_indices(form).map(|(at, text)| at..at + text.len()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_a_value_is_told_from_what_hides_it() {
        for (script, wanted) in [
            ("echo $T", Some(How::Printed)),
            ("cat <<< \"$T\"", Some(How::Printed)),
            ("base64 <<<$T", Some(How::Printed)),
            ("cat <<EOF\nx: $T\nEOF", Some(How::Printed)),
            ("cat <<'EOF'\nx: $T\nEOF", None),
            ("cat <<EOF > file\nx: $T\nEOF", None),
            ("cat <<EOF\nx\nEOF\nfit \"$T\"", None),
            ("cat <<EOF | docker login\n$T\nEOF", None),
            ("curl \"https://x.y/?key=$T\"", Some(How::Address)),
            ("curl -s https://me:${T}@x.y/", Some(How::Address)),
            ("curl -H \"Authorization: Bearer $T\" https://x.y", None),
            ("wget https://x.y/ --header \"x: $T\"", None),
            ("# echo $T", None),
            ("fit --token $T", None),
            ("echo $T > file", None),
        ] {
            let at = uses(script, "T");
            assert_eq!(at.len(), 1, "{script}");
            assert_eq!(shown(script, &at[0]), wanted, "{script}");
        }
    }

    #[test]
    fn dumps_are_found() {
        let all = |script: &'static str| dumps(script).into_iter().map(|r| &script[r]).collect::<Vec<_>>();
        for script in ["env", "cd x && env", "env | sort", "true; printenv", "  set\n", "Get-ChildItem Env:"]
        {
            assert_eq!(all(script).len(), 1, "{script}");
        }
        for script in [
            "env X=1 cmd",
            "env | grep ^PY",
            "env > f",
            "set -e",
            "env | cut -d= -f1",
            "cat <<E\nenv\nE",
            "echo env",
            "printenv HOME",
            "env | sort | grep X",
        ] {
            assert_eq!(all(script), [""; 0], "{script}");
        }
    }

    #[test]
    fn traces_and_programs_are_found() {
        let traced = |script: &str| traced(script, &uses(script, "T")).is_some();
        assert!(traced("set -ex\nfit $T"));
        assert!(traced("set -o xtrace\nfit $T"));
        assert!(!traced("fit $T\nset -x"));
        assert!(!traced("set -x\nset +x\nfit $T"));
        assert!(!traced("set -e\nfit $T"));
        for (script, wanted) in [
            ("print(os.environ[\"T\"])", 1),
            ("print(f\"a {os.environ['T']}\")", 1),
            ("python -c 'import os; print(os.getenv(\"T\")[:4])'", 1),
            ("console.log(process.env.T)", 1),
            ("print(len(os.environ['T']))", 0),
            ("print(os.environ['T'] is None)", 0),
            ("print('x'); fit(os.environ['T'])", 0),
            ("fit(os.environ['T'])", 0),
        ] {
            assert_eq!(programs(script, "T").len(), wanted, "{script}");
        }
    }

    #[test]
    fn any_script_is_read_and_places_lie_in_it() {
        const WORDS: &[&str] = &[
            "$T",
            "${T}",
            "$env:T",
            "é",
            "日",
            "\n",
            "\r\n",
            " ",
            "<<",
            "<<<",
            "EOF",
            "'",
            "\"",
            "\\",
            "echo ",
            "cat ",
            "env",
            "set -x",
            "set +x",
            "|",
            ";",
            "&&",
            "||",
            ">",
            ">>",
            "$GITHUB_OUTPUT",
            "=",
            "t=",
            "{",
            "}",
            "(",
            ")",
            "`",
            "$(",
            "${{ x }}",
            "#",
            "print(",
            "os.environ[\"T\"]",
            "curl ",
            "://",
            "$",
            "${",
            "${T//",
            "tee -a ",
        ];
        for script in crate::check::random_scripts(WORDS, 7) {
            let all = uses(&script, "T");
            let mut places = dumps(&script);
            places.extend(programs(&script, "T"));
            places.extend(traced(&script, &all));
            places.extend(program_dumps(&script));
            for at in all {
                let _ = shown(&script, &at);
                places.push(at);
            }
            for at in places {
                assert!(script.get(at.clone()).is_some_and(|text| !text.is_empty()), "{at:?} in {script:?}");
            }
        }
    }
}
