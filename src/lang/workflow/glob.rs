//! GitHub's filter patterns for branches, tags and paths.
//!
//! Source of the rules: GitHub, "Workflow syntax", filter pattern cheat sheet: `*` stops at `/`,
//! `**` does not, `?` and `+` repeat the character before them, `[]` is one character of a set,
//! `!` at the start takes away, `\` escapes. Not here: the order of several patterns (`trigger`).

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    negated: bool,
    tokens: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// The byte of the pattern where it is wrong.
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    what: What,
    repeat: Repeat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// One character.
    Char(char),
    /// One character of these ranges.
    Set(Vec<(char, char)>),
    /// Any character but `/`.
    Segment,
    /// Any character.
    Any,
    /// `**/`: nothing, or anything that ends with `/`.
    Folders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    One,
    Optional,
    /// One or more.
    Some,
    /// None or more.
    Many,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |offset: usize, message: &str| PatternError { message: message.to_owned(), offset };
        let (negated, body) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let shift = text.len() - body.len();
        if body.is_empty() {
            let what =
                if negated { "`!` must be followed by a pattern" } else { "a pattern must not be empty" };
            return Err(error(0, what));
        }
        let mut tokens: Vec<Token> = Vec::new();
        let mut chars = body.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let at = at + shift;
            let what = match c {
                '*' => {
                    let double = chars.next_if(|(_, c)| *c == '*').is_some();
                    let after_slash = tokens.last().is_none_or(|t| t.what == What::Char('/'));
                    if double && after_slash && chars.next_if(|(_, c)| *c == '/').is_some() {
                        tokens.push(Token { what: What::Folders, repeat: Repeat::Optional });
                    } else {
                        let what = if double { What::Any } else { What::Segment };
                        tokens.push(Token { what, repeat: Repeat::Many });
                    }
                    continue;
                }
                '?' | '+' => {
                    let repeat = if c == '?' { Repeat::Optional } else { Repeat::Some };
                    match tokens.last_mut() {
                        Some(last) if last.repeat == Repeat::One => last.repeat = repeat,
                        _ => {
                            return Err(error(at, &format!("`{c}` must follow a character that it repeats")));
                        }
                    }
                    continue;
                }
                '[' => What::Set(set(&mut chars, at, shift)?),
                '\\' => match chars.next() {
                    Some((_, escaped)) => What::Char(escaped),
                    None => return Err(error(at, "nothing follows the `\\`")),
                },
                c => What::Char(c),
            };
            tokens.push(Token { what, repeat: Repeat::One });
        }
        Ok(Self { negated, tokens })
    }

    /// Tells whether it takes away what it matches (`!…`).
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Tells whether the whole text has this form, whether the pattern gives or takes it. Takes
    /// time in proportion to text and pattern, whatever they are.
    pub fn matches(&self, text: &str) -> bool {
        let mut now = vec![false; self.tokens.len() + 1];
        let mut next = now.clone();
        // Which `**/` have taken something that does not end with `/` yet.
        let (mut inside, mut inside_next) = (now.clone(), now.clone());
        set_flag(&mut now, 0);
        self.skip(&mut now);
        for c in text.chars() {
            next.fill(false);
            inside_next.fill(false);
            for (index, token) in self.tokens.iter().enumerate() {
                if token.what == What::Folders {
                    if now.get(index) == Some(&true) || inside.get(index) == Some(&true) {
                        set_flag(&mut inside_next, index);
                        if c == '/' {
                            set_flag(&mut next, index + 1);
                        }
                    }
                    continue;
                }
                if now.get(index) != Some(&true) || !token.what.accepts(c) {
                    continue;
                }
                let stays = matches!(token.repeat, Repeat::Many | Repeat::Some);
                if stays {
                    set_flag(&mut next, index);
                }
                set_flag(&mut next, index + 1);
            }
            self.skip(&mut next);
            std::mem::swap(&mut now, &mut next);
            std::mem::swap(&mut inside, &mut inside_next);
        }
        now.last() == Some(&true)
    }

    /// Goes past tokens that may match nothing. Who is inside `Folders` has taken something and
    /// leaves it only by a `/`, which the caller sees to.
    fn skip(&self, flags: &mut [bool]) {
        for (index, token) in self.tokens.iter().enumerate() {
            if flags.get(index) == Some(&true) && matches!(token.repeat, Repeat::Optional | Repeat::Many) {
                set_flag(flags, index + 1);
            }
        }
    }
}

fn set_flag(flags: &mut [bool], index: usize) {
    if let Some(flag) = flags.get_mut(index) {
        *flag = true;
    }
}

impl What {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Set(ranges) => ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)),
            Self::Segment => c != '/',
            Self::Any | Self::Folders => true,
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

/// Reads `[…]` behind its `[`.
fn set(chars: &mut Chars<'_>, open: usize, shift: usize) -> Result<Vec<(char, char)>, PatternError> {
    let error = |offset: usize, message: String| PatternError { message, offset };
    let mut ranges = Vec::new();
    loop {
        let Some((at, c)) = chars.next() else {
            return Err(error(open, "`[` is not closed by `]`".to_owned()));
        };
        if c == ']' {
            break;
        }
        if chars.next_if(|(_, c)| *c == '-').is_some() {
            match chars.next() {
                Some((_, ']')) => {
                    ranges.extend([(c, c), ('-', '-')]);
                    break;
                }
                Some((_, end)) if end >= c => ranges.push((c, end)),
                Some((_, end)) => {
                    return Err(error(at + shift, format!("the range `{c}-{end}` runs backwards")));
                }
                None => return Err(error(open, "`[` is not closed by `]`".to_owned())),
            }
        } else {
            ranges.push((c, c));
        }
    }
    if ranges.is_empty() {
        return Err(error(open, "`[]` names no character".to_owned()));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn the_cheat_sheet_holds() {
        for (pattern, text, expected) in [
            ("feature/*", "feature/my-branch", true),
            ("feature/*", "feature/beta-a/my-branch", false),
            ("feature/**", "feature/beta-a/my-branch", true),
            ("main", "main", true),
            ("main", "mains", false),
            ("*", "releases", true),
            ("*", "all/the/branches", false),
            ("**", "all/the/branches", true),
            ("*feature", "mona-feature", true),
            ("v2*", "v2.9", true),
            ("v[12].[0-9]+.[0-9]+", "v1.10.1", true),
            ("v[12].[0-9]+.[0-9]+", "v3.0.0", false),
            ("*.jsx?", "page.js", true),
            ("*.jsx?", "page.jsx", true),
            ("**.js", "src/js/app.js", true),
            ("docs/*", "docs/readme.md", true),
            ("docs/*", "docs/sub/readme.md", false),
            ("docs/**", "docs/mona/octocat.txt", true),
            ("docs/**/*.md", "docs/README.md", true),
            ("docs/**/*.md", "docs/a/markdown/file.md", true),
            ("**/docs/**", "docs/hello.md", true),
            ("**/docs/**", "dir/docs/my-file.txt", true),
            ("**/README.md", "js/README.md", true),
            ("**/README.md", "README.md", true),
            ("**/*src/**", "my-src/code/js/app.js", true),
            ("**/*-post.md", "path/their-post.md", true),
            ("**/migrate-*.sql", "db/sept/migrate-v1.sql", true),
            ("**/b", "ab", false),
            ("a+", "aaa", true),
            ("a+", "", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn errors_have_places() {
        let error = |text: &str| Pattern::parse(text).unwrap_err().offset;
        assert_eq!(error("a["), 1);
        assert_eq!(error("[9-0]"), 1);
        assert_eq!(error("!"), 0);
        assert_eq!(error("+a"), 0);
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &"a".repeat(400)));
    }
}
