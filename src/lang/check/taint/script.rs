//! Which variables' text a shell script writes into an output or into the environment.
//!
//! Only the plain forms are read (`echo "t=$T" >> "$GITHUB_OUTPUT"`, groups, here-documents, `tee
//! -a`); what goes through another program, or is compared with a pattern first, counts as clean.

use std::ops::Range;

/// Something a script writes into one of its command files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// The output's or variable's name.
    pub name: &'a str,
    /// The variables whose text becomes part of the value.
    pub variables: Vec<&'a str>,
    /// Where in the script the value is written.
    pub values: Vec<Range<usize>>,
}

/// Returns what a script writes into the command file that a variable names, such as
/// `GITHUB_OUTPUT`.
pub(super) fn written<'a>(script: &'a str, file: &str) -> Vec<Written<'a>> {
    let mut all: Vec<Written<'a>> = Vec::new();
    // What stands between `name<<END` and `END` belongs to the name.
    let mut open: Option<&str> = None;
    for at in lines_into(script, file) {
        let line = script.get(at.clone()).unwrap_or_default();
        if let Some(end) = open {
            if bare(line) == end {
                open = None;
            } else if let Some(last) = all.last_mut() {
                variables(line, 0, &mut last.variables);
                last.values.push(at);
            }
            continue;
        }
        let Some((name, rest)) = assignment(line) else { continue };
        let value = line.get(rest..).unwrap_or_default();
        let mut one = Written { name, variables: Vec::new(), values: Vec::new() };
        if let Some(end) = value.strip_prefix("<<") {
            open = Some(bare(end));
        } else {
            variables(line, rest, &mut one.variables);
            one.values.push(at.start + rest..at.end);
        }
        all.push(one);
    }
    all
}

/// Returns the variables that copies of some others are made of, in the order of the script: `A="x$B"`
/// gives (`A`, [`B`]).
pub(super) fn copies(script: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    script.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = ["export ", "local ", "readonly "]
            .iter()
            .find_map(|word| line.strip_prefix(word))
            .unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let named = name.trim_start_matches("$env:").trim_start_matches('$').trim();
        if named.is_empty() || !named.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let mut found = Vec::new();
        variables(value, 0, &mut found);
        Some((named, found))
    })
}

/// Tells whether a script compares a variable with a pattern: then it is no longer just anything.
pub(super) fn is_judged(script: &str, variable: &str) -> bool {
    script.lines().any(|line| {
        let line = line.trim_start();
        let judges = line.contains("=~")
            || line.contains("-match")
            || line.contains("grep -q")
            || line.starts_with("case ");
        let mut found = Vec::new();
        if judges {
            variables(line, 0, &mut found);
        }
        found.contains(&variable)
    })
}

/// The parts of a script whose output goes into the file.
fn lines_into(script: &str, file: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut waiting: Vec<Range<usize>> = Vec::new();
    let mut group = false;
    let mut document: Option<String> = None;
    let mut start = 0;
    for line in script.split_inclusive('\n') {
        let at = start..start + line.trim_end().len();
        start += line.len();
        let text = line.trim();
        if let Some(end) = &document {
            if text == end {
                document = None;
                found.append(&mut waiting);
            } else {
                waiting.push(at);
            }
            continue;
        }
        let into = into_file(line, file);
        if text == "{" || text == "(" {
            group = true;
            waiting.clear();
        } else if group && (text.starts_with('}') || text.starts_with(')')) {
            group = false;
            if into.is_some() {
                found.append(&mut waiting);
            }
        } else if let Some(end) = into {
            match here_document(line).filter(|_| !text.starts_with("echo")) {
                Some(word) => document = Some(word),
                None => found.push(at.start..at.start + end),
            }
        } else if group {
            waiting.push(at);
        }
    }
    found
}

/// Returns where in a line the part ends whose output goes into the file.
fn into_file(line: &str, file: &str) -> Option<usize> {
    let at = [format!("${file}"), format!("${{{file}}}"), format!("$env:{file}")]
        .iter()
        .find_map(|form| line.rfind(form.as_str()))?;
    let before = line.get(..at)?.trim_end_matches(['"', '\'']).trim_end();
    if let Some(end) = before.find("<<").filter(|_| before.ends_with('>')) {
        // `cat <<END >> file`: nothing of this line itself.
        if !before.trim_start().starts_with("echo") {
            return Some(end);
        }
    }
    ["| tee -a", "|tee -a", "| Out-File -Append -FilePath", "| Out-File -FilePath", ">>", ">"]
        .iter()
        .find_map(|sign| before.strip_suffix(sign))
        .map(str::len)
}

/// The word that ends a here-document which a line begins.
fn here_document(line: &str) -> Option<String> {
    let rest = line.split_once("<<").map(|(_, rest)| rest).filter(|rest| !rest.starts_with('<'))?;
    let word = rest.trim_start_matches('-').split_whitespace().next()?;
    Some(word.trim_matches(['"', '\'', '\\']).to_owned())
}

/// What a line prints, without the command and its quotes.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix("echo ").or_else(|| line.strip_prefix("printf ")).unwrap_or(line);
    line.trim().trim_matches(['"', '\''])
}

/// The name that a line gives a value, and where in the line the `=` or `<<` behind it stands.
fn assignment(line: &str) -> Option<(&str, usize)> {
    let at = [line.find('='), line.find("<<")].into_iter().flatten().min()?;
    let before = line.get(..at)?;
    let from = before.rfind([' ', '"', '\'', '\t']).map_or(0, |i| i + 1);
    let name = before.get(from..)?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    plain.then_some((name, at))
}

/// Collects the variables whose text a piece of script pastes as it is: not what stands in single
/// quotes or `$( )`, nor `${#V}`, `${V//…}` and `${V:+…}`.
fn variables<'a>(text: &'a str, start: usize, found: &mut Vec<&'a str>) {
    let bytes = text.as_bytes();
    let (mut at, mut double, mut single) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match byte {
            b'\\' => at += 1,
            b'"' if !single => double = !double,
            b'\'' if !double => single = !single,
            b'`' => at = skip(bytes, at + 1, b'`', b'`'),
            b'$' if single => {}
            b'$' if next == Some(b'(') => at = skip(bytes, at + 2, b'(', b')'),
            b'$' if next == Some(b'{') && bytes.get(at + 2) == Some(&b'{') => {
                at = text.get(at..).and_then(|t| t.find("}}")).map_or(bytes.len(), |i| at + i + 1);
            }
            b'$' => {
                let braced = next == Some(b'{');
                let mut from = at + if braced { 2 } else { 1 };
                if text.get(from..).is_some_and(|t| t.starts_with("env:")) {
                    from += 4;
                }
                let rest = text.get(from..).unwrap_or_default();
                let length =
                    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let after = rest.get(length..).unwrap_or_default();
                let changed = braced && (after.starts_with('/') || after.starts_with(":+"));
                if length > 0 && !changed && at >= start {
                    found.extend(rest.get(..length));
                }
                at = from + length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Returns the place of the sign that closes what is open at `at`.
fn skip(bytes: &[u8], mut at: usize, opens: u8, closes: u8) -> usize {
    let mut depth = 1;
    while let Some(&byte) = bytes.get(at) {
        if byte == closes {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        } else if byte == opens {
            depth += 1;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{copies, is_judged, written};

    fn shown(script: &str) -> Vec<String> {
        written(script, "GITHUB_OUTPUT")
            .iter()
            .map(|w| format!("{}={}", w.name, w.variables.join(",")))
            .collect()
    }

    #[test]
    fn the_plain_forms_are_read() {
        for (script, wanted) in [
            ("echo \"t=$T\" >> $GITHUB_OUTPUT", vec!["t=T"]),
            ("echo \"t=${T:-x}\" >>\"$GITHUB_OUTPUT\"", vec!["t=T"]),
            ("echo t=$T | tee -a \"${GITHUB_OUTPUT}\"", vec!["t=T"]),
            ("printf 't=%s\\n' \"$T\" >> $GITHUB_OUTPUT", vec!["t=T"]),
            ("\"t=$env:T\" >> $env:GITHUB_OUTPUT", vec!["t=T"]),
            ("{\n  echo \"a=$A\"\n  echo \"b=1\"\n} >> \"$GITHUB_OUTPUT\"", vec!["a=A", "b="]),
            ("cat <<END >> $GITHUB_OUTPUT\na=$A\nb=$B\nEND\necho c=$C", vec!["a=A", "b=B"]),
            (
                "echo \"t<<EOF\" >> $GITHUB_OUTPUT\necho \"$T\" >> $GITHUB_OUTPUT\necho EOF >> $GITHUB_OUTPUT\necho u=$U >> $GITHUB_OUTPUT",
                vec!["t=T", "u=U"],
            ),
            ("echo \"t=$(echo $T | tr -cd a-z)\" >> $GITHUB_OUTPUT", vec!["t="]),
            ("echo \"t=${T//[^a-z]/}\" >> $GITHUB_OUTPUT", vec!["t="]),
            ("echo \"t=${#T}\" >> $GITHUB_OUTPUT", vec!["t="]),
            ("echo 't=$T' >> $GITHUB_OUTPUT", vec!["t="]),
            ("echo \"t=\\$T\" >> $GITHUB_OUTPUT", vec!["t="]),
            ("echo \"t=$T\" >> $GITHUB_ENV", vec![]),
            ("echo \"t=$T\"", vec![]),
            ("", vec![]),
            ("{\n", vec![]),
            ("cat <<\n$GITHUB_OUTPUT << >>", vec![]),
        ] {
            assert_eq!(shown(script), wanted, "{script}");
        }
    }

    #[test]
    fn copies_and_judgements_are_seen() {
        let all: Vec<_> = copies("export A=\"x$B\"\nC=$(cat)\n$D = $env:E\nif [ a = b ]").collect();
        assert_eq!(all, [("A", vec!["B"]), ("C", vec![]), ("D", vec!["E"])]);
        assert!(is_judged("if [[ \"$T\" =~ ^[a-z]+$ ]]; then", "T"));
        assert!(!is_judged("echo $T", "T"));
    }

    #[test]
    fn any_script_is_read_and_values_lie_in_it() {
        const WORDS: &[&str] = &[
            "$T",
            "${T}",
            "é",
            "\n",
            " ",
            "<<",
            "EOF",
            "'",
            "\"",
            "\\",
            "echo ",
            "cat ",
            ">>",
            "$GITHUB_OUTPUT",
            "\"$GITHUB_OUTPUT\"",
            "=",
            "t=",
            "{\n",
            "}\n",
            "(",
            ")",
            "`",
            "$(",
            "${{ x }}",
            "${{",
            "tee -a ",
            "|",
            "$",
            "${",
        ];
        for script in crate::check::random_scripts(WORDS, 3) {
            for one in written(&script, "GITHUB_OUTPUT") {
                assert!(one.values.iter().all(|at| script.get(at.clone()).is_some()), "{script:?}");
            }
            let _ = (copies(&script).count(), is_judged(&script, "T"));
        }
    }
}
