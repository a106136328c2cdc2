//! Workflow commands: lines of a step's output such as `::error file=a.py,line=3::text` (rules: GitHub,
//! "Workflow commands"; the runner's `ActionCommand` for the details).
//!
//! Not here: what a command does.

use super::Annotation;

/// Characters of an annotation's message; the log has all of it (the runner's limit).
const LONGEST_MESSAGE: usize = 4096;

/// One command as written, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowCommand {
    /// In lower case.
    pub name: String,
    /// Names (as written) and values.
    pub properties: Vec<(String, String)>,
    /// What follows.
    pub data: String,
}

impl WorkflowCommand {
    /// Parses `::name key=value,…::data`, or the older `##[name key=value;…]data`; `None` if the line
    /// is no command.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("::") {
            let (head, data) = rest.split_once("::")?;
            return Self::build(head, ',', data, &DATA, &PROPERTY);
        }
        let rest = line.strip_prefix("##[")?;
        let (head, data) = rest.split_once(']')?;
        Self::build(head, ';', data, &OLD, &OLD)
    }

    fn build(
        head: &str,
        separator: char,
        data: &str,
        in_data: &Escapes,
        in_property: &Escapes,
    ) -> Option<Self> {
        let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
        let known =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !known && separator == ';' {
            return None;
        }
        if name.is_empty() {
            return None;
        }
        let mut properties = Vec::new();
        // `a.py, line=3` has a property ` line`, which nobody asks for: so it is at GitHub.
        for pair in rest.trim().split(separator) {
            if let Some((key, value)) = pair.split_once('=')
                && !key.is_empty()
                && !value.is_empty()
            {
                properties.push((key.to_owned(), unescape(value, in_property)));
            }
        }
        Some(Self { name: name.to_ascii_lowercase(), properties, data: unescape(data, in_data) })
    }

    /// Returns a property by its name in any case; of two the last one.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Returns the annotation of `error`, `warning` and `notice`.
    pub fn annotation(&self, step: u32) -> Option<Annotation> {
        if !matches!(self.name.as_str(), "error" | "warning" | "notice") {
            return None;
        }
        let text = |name: &str| self.property(name).map(str::to_owned);
        let number = |name: &str| self.property(name).and_then(|v| v.trim().parse().ok());
        let mut annotation = Annotation {
            level: self.name.clone(),
            message: self.data.chars().take(LONGEST_MESSAGE).collect(),
            title: text("title"),
            file: text("file"),
            line: number("line"),
            end_line: number("endLine"),
            column: number("col"),
            end_column: number("endColumn"),
            step,
        };
        tidy_range(&mut annotation);
        Some(annotation)
    }
}

/// Makes lines and columns a range, or takes away what cannot be one (the runner's
/// `ValidateLinesAndColumns`).
fn tidy_range(a: &mut Annotation) {
    a.line = a.line.or(a.end_line);
    a.column = a.column.or(a.end_column);
    let several_lines = a.end_line.is_some() && a.line != a.end_line;
    if a.line.is_none() || several_lines {
        (a.column, a.end_column) = (None, None);
    }
    if a.end_line < a.line && a.end_line.is_some() {
        (a.line, a.end_line) = (None, None);
    }
    if a.end_column < a.column && a.end_column.is_some() {
        (a.column, a.end_column) = (None, None);
    }
}

/// What may be the start of a command: the reader holds back no other line.
pub fn may_be_command(start: &[u8]) -> bool {
    // White space of any alphabet may stand in front; its last character may be cut in two.
    let (text, whole) = match std::str::from_utf8(start) {
        Ok(text) => (text, true),
        Err(e) => {
            let text = start.get(..e.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
            (text.unwrap_or_default(), false)
        }
    };
    let cut = !whole && std::str::from_utf8(start).is_err_and(|e| e.error_len().is_none());
    let text = text.trim_start();
    if text.is_empty() {
        return whole || cut;
    }
    ["::", "##["].iter().any(|p| text.starts_with(p) || (whole && p.starts_with(text)))
}

/// `::stop-commands::TOKEN` … `::TOKEN::`: whether commands are taken at this place of the output.
#[derive(Clone, Debug, Default)]
pub struct CommandGate {
    token: Option<String>,
}

/// Commands there are: none of them can be a stop token, because resuming would be ambiguous.
const COMMANDS: [&str; 16] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "pause-logging",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

impl CommandGate {
    fn is_reserved(token: &str) -> bool {
        token.is_empty() || COMMANDS.iter().any(|c| token.eq_ignore_ascii_case(c))
    }

    /// Takes a line: gives the command to carry out, or nothing while commands are stopped. A stop
    /// or resume is carried out here. `any_token`: `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS` is true.
    pub fn admit(&mut self, line: &str, any_token: bool) -> Admitted {
        let Some(command) = WorkflowCommand::parse(line) else { return Admitted::Text };
        if let Some(token) = &self.token {
            if !token.is_empty() && command.name.eq_ignore_ascii_case(token) {
                self.token = None;
                return Admitted::Resumed;
            }
            return Admitted::Text;
        }
        if command.name == "stop-commands" {
            if Self::is_reserved(&command.data) && !any_token {
                return Admitted::Refused(format!(
                    "You cannot use `{}` as a stop token: it is empty or the name of a command. Use a word nobody can guess, or opt in with ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS=true.",
                    command.data
                ));
            }
            self.token = Some(command.data.clone());
            return Admitted::Stopped(command.data);
        }
        Admitted::Command(command)
    }
}

/// What a line of output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Text to show.
    Text,
    /// A command to carry out.
    Command(WorkflowCommand),
    /// Commands were stopped, until this token.
    Stopped(String),
    /// Commands go on.
    Resumed,
    /// A command that is wrong, and why.
    Refused(String),
}

type Escapes = [(&'static str, &'static str)];
const DATA: [(&str, &str); 3] = [("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
const PROPERTY: [(&str, &str); 5] = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
const OLD: [(&str, &str); 5] = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")];

/// Replaces the escapes in one pass, so that `%250A` gives `%0A`.
fn unescape(text: &str, escapes: &Escapes) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((_, to)) = escapes.iter().find(|(from, _)| rest.starts_with(from)) {
            out.push_str(to);
            rest = &rest[3..];
        } else {
            out.push('%');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_command_is_held_back() {
        for line in ["::error::x", " \t\u{b}::error::x", "\u{a0}\u{2003}::debug::x", "##[warning]x"] {
            assert!(WorkflowCommand::parse(line).is_some(), "{line:?}");
            for length in 0..=line.len() {
                assert!(may_be_command(&line.as_bytes()[..length]), "{line:?} {length}");
            }
        }
        for line in [&b"x::error::"[..], b":x", b"#[", b" \xff::error::", b"\xc2x", b":\xff"] {
            assert!(!may_be_command(line), "{line:?}");
        }
    }

    #[test]
    fn commands_of_both_forms() {
        let c = WorkflowCommand::parse("  ::error file=a%2Cb.py,line=3,endLine=4,title=T%3A::x%0Ay%250A")
            .unwrap();
        let a = c.annotation(2).unwrap();
        assert_eq!((a.file.as_deref(), a.line, a.end_line), (Some("a,b.py"), Some(3), Some(4)));
        assert_eq!((a.title.as_deref(), a.message.as_str(), a.step), (Some("T:"), "x\ny%0A", 2));
        let c = WorkflowCommand::parse("::set-output name=a::b::c").unwrap();
        assert_eq!((c.property("NAME"), c.data.as_str()), (Some("a"), "b::c"));
        let c = WorkflowCommand::parse("##[warning line=1;col=2]x%5D").unwrap();
        assert_eq!((c.name.as_str(), c.property("col"), c.data.as_str()), ("warning", Some("2"), "x]"));
        assert_eq!(WorkflowCommand::parse("::endgroup::").unwrap().name, "endgroup");
        for line in ["", ":", "::", "::::", ":: ::", "::error", "x ::error::y", "##[", "##[]", "##[a b"] {
            assert_eq!(WorkflowCommand::parse(line), None, "{line}");
        }
    }

    #[test]
    fn stopped_commands_are_text() {
        let mut gate = CommandGate::default();
        assert_eq!(gate.admit("::stop-commands::Tok", false), Admitted::Stopped("Tok".into()));
        assert_eq!(gate.admit("::error::x", false), Admitted::Text);
        assert_eq!(gate.admit("::tok::", false), Admitted::Resumed);
        assert!(matches!(gate.admit("::error::x", false), Admitted::Command(_)));
        for token in ["", "error", "Add-Mask", "pause-logging", "stop-commands"] {
            let line = format!("::stop-commands::{token}");
            assert!(matches!(gate.admit(&line, false), Admitted::Refused(_)), "{token}");
        }
        assert!(matches!(gate.admit("::stop-commands::error", true), Admitted::Stopped(_)));
    }

    #[test]
    fn lines_and_columns_are_a_range_or_nothing() {
        for (given, range) in [
            ("line=1,endLine=2,col=3", [Some(1), Some(2), None, None]),
            ("line=1,endLine=1,col=3,endColumn=4", [Some(1), Some(1), Some(3), Some(4)]),
            ("endLine=2", [Some(2), Some(2), None, None]),
            ("col=2", [None; 4]),
            ("line=3,endLine=2", [None; 4]),
            ("line=1,col=5,endColumn=4", [Some(1), None, None, None]),
            ("line=1,endColumn=4", [Some(1), None, Some(4), Some(4)]),
            ("line=x", [None; 4]),
            ("line=1,line=2", [Some(2), None, None, None]),
        ] {
            let a = WorkflowCommand::parse(&format!("::error {given}::m")).unwrap().annotation(0).unwrap();
            assert_eq!([a.line, a.end_line, a.column, a.end_column], range, "{given}");
        }
        let long = format!("::notice::{}", "é".repeat(5000));
        let a = WorkflowCommand::parse(&long).unwrap().annotation(0).unwrap();
        assert_eq!(a.message.chars().count(), 4096);
    }

    #[test]
    fn only_possible_commands_are_held_back() {
        for held in ["", " ", ":", "  ::", "##", "##[x"] {
            assert!(may_be_command(held.as_bytes()), "{held:?}");
        }
        for passed in ["a", " a", ":a", "#", "##x"].iter().filter(|p| **p != "#") {
            assert!(!may_be_command(passed.as_bytes()), "{passed:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_an_answer(line in "(::|##\\[)?[a-z ,=;%0-9A-F:\\]é]{0,40}") {
            let mut gate = CommandGate::default();
            let _ = gate.admit(&line, false);
            if WorkflowCommand::parse(&line).is_some() {
                proptest::prop_assert!(may_be_command(line.as_bytes()));
            }
        }
    }
}
