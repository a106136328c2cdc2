//! Shells: which program runs a script, with which flags (rules: GitHub, "Workflow syntax",
//! `jobs.<job_id>.steps[*].shell`; the flags are the runner's).

/// How a script is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// Programs in order of preference: the first that is installed is taken.
    pub programs: Vec<String>,
    /// Arguments; `{0}` stands for the script's file. The same for all programs.
    pub args: Vec<String>,
    /// Ending of the script's file, with its dot.
    pub extension: &'static str,
    /// Written before the script.
    pub before: &'static str,
    /// Written after the script.
    pub after: &'static str,
}

/// Why a `shell` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// Neither a known name nor a command with `{0}`.
    #[error("the shell `{0}` is neither one of bash, sh, python, pwsh nor a command with `{{0}}` in it")]
    Unknown(String),
    /// Windows only.
    #[error("the shell `{0}` exists on Windows only; use bash, sh, python or pwsh")]
    Windows(String),
}

impl Shell {
    /// Returns how to run a script for a `shell` value; empty is what GitHub does where none is
    /// written.
    pub fn from_name(name: &str) -> Result<Self, ShellError> {
        let made = |programs: &[&str], args: &[&str], extension| Self {
            programs: programs.iter().map(|p| (*p).to_owned()).collect(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            extension,
            before: "",
            after: "",
        };
        let trimmed = name.trim();
        Ok(match trimmed.to_ascii_lowercase().as_str() {
            "" => made(&["bash", "sh"], &["-e", "{0}"], ".sh"),
            "bash" => made(&["bash"], &["--noprofile", "--norc", "-e", "-o", "pipefail", "{0}"], ".sh"),
            "sh" => made(&["sh"], &["-e", "{0}"], ".sh"),
            "python" => made(&["python", "python3"], &["{0}"], ".py"),
            "pwsh" => Self {
                before: "$ErrorActionPreference = 'stop'\n",
                after: "\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }",
                ..made(&["pwsh"], &["-command", ". '{0}'"], ".ps1")
            },
            "cmd" | "powershell" => return Err(ShellError::Windows(trimmed.to_owned())),
            _ if trimmed.contains("{0}") => {
                let mut words = split(trimmed).into_iter();
                let Some(program) = words.next().filter(|p| !p.contains("{0}")) else {
                    return Err(ShellError::Unknown(trimmed.to_owned()));
                };
                let extension = match program.rsplit('/').next().unwrap_or(&program) {
                    "bash" | "sh" => ".sh",
                    "pwsh" => ".ps1",
                    "python" | "python3" => ".py",
                    _ => "",
                };
                Self { programs: vec![program], args: words.collect(), ..made(&[], &[], extension) }
            }
            _ => return Err(ShellError::Unknown(trimmed.to_owned())),
        })
    }
}

/// Splits a command line at spaces outside of quotes; a backslash before a double quote keeps it.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote != Some('\'') && chars.peek() == Some(&'"') => {
                word.get_or_insert_default().extend(chars.next());
            }
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            _ if quote == Some(c) => quote = None,
            _ if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_githubs() {
        let line = |name: &str| {
            let s = Shell::from_name(name).unwrap();
            format!("{} {}", s.programs.join("|"), s.args.join(" "))
        };
        assert_eq!(line(""), "bash|sh -e {0}");
        assert_eq!(line("bash"), "bash --noprofile --norc -e -o pipefail {0}");
        assert_eq!(line("sh"), "sh -e {0}");
        assert_eq!(line("pwsh"), "pwsh -command . '{0}'");
        assert_eq!(line("perl -w {0}"), "perl -w {0}");
        assert_eq!(Shell::from_name("ruby -e \"a b\" {0}").unwrap().args, ["-e", "a b", "{0}"]);
        for wrong in ["fish", "{0}", "cmd", "bash -x"] {
            assert!(Shell::from_name(wrong).is_err(), "{wrong}");
        }
    }
}
