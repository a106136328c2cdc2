//! GitHub's filter patterns, matched in time linear in pattern times text.
//!
//! Source of the rules: GitHub's "Filter pattern cheat sheet". Whether a pattern is well formed is
//! `check`'s business; what cannot be understood here stands for itself.

/// One filter pattern without its leading `!`.
#[derive(Clone, Debug)]
pub struct Pattern {
    nodes: Vec<Node>,
}

/// What one place of a pattern takes, and how often.
#[derive(Clone, Debug)]
struct Node {
    one: One,
    skippable: bool,
    repeats: bool,
}

/// What fits one character.
#[derive(Clone, Debug)]
enum One {
    Char(char),
    Set(Vec<(char, char)>),
    /// `*`: anything within a folder.
    Name,
    /// `**`: anything.
    Any,
    /// The inside of `**/`: anything, left by a slash.
    Folders,
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut nodes: Vec<Node> = Vec::new();
        let mut at = 0;
        while let Some(c) = chars.get(at).copied() {
            at += 1;
            let plain = |one| Node { one, skippable: false, repeats: false };
            match c {
                '*' if chars.get(at) == Some(&'*') => {
                    at += 1;
                    let opens = at < 3 || chars.get(at - 3) == Some(&'/');
                    if opens && chars.get(at) == Some(&'/') {
                        at += 1;
                        nodes.push(Node { one: One::Folders, skippable: true, repeats: true });
                    } else {
                        nodes.push(Node { one: One::Any, skippable: true, repeats: true });
                    }
                }
                '*' => nodes.push(Node { one: One::Name, skippable: true, repeats: true }),
                '?' => match nodes.last_mut() {
                    Some(last) => last.skippable = true,
                    None => nodes.push(plain(One::Char(c))),
                },
                '+' => match nodes.last_mut() {
                    Some(last) => last.repeats = true,
                    None => nodes.push(plain(One::Char(c))),
                },
                '[' => match set(chars.get(at..).unwrap_or_default()) {
                    Some((ranges, length)) => {
                        at += length;
                        nodes.push(plain(One::Set(ranges)));
                    }
                    None => nodes.push(plain(One::Char(c))),
                },
                '\\' => match chars.get(at) {
                    Some(next) => {
                        nodes.push(plain(One::Char(*next)));
                        at += 1;
                    }
                    None => nodes.push(plain(One::Char(c))),
                },
                _ => nodes.push(plain(One::Char(c))),
            }
        }
        Self { nodes }
    }

    /// Tells whether the whole text fits.
    pub fn matches(&self, text: &str) -> bool {
        let end = self.nodes.len();
        // `at[n]`: node n may take the next character; `inside[n]`: it took the last one.
        let mut at = vec![false; end + 1];
        let mut inside = vec![false; end];
        enter(&self.nodes, &mut at, 0);
        for c in text.chars() {
            let mut next = vec![false; end + 1];
            let mut next_inside = vec![false; end];
            for (n, node) in self.nodes.iter().enumerate() {
                let here = at.get(n).copied().unwrap_or(false);
                let stays = node.repeats && inside.get(n).copied().unwrap_or(false);
                if !(here || stays) || !node.one.takes(c) {
                    continue;
                }
                if let Some(slot) = next_inside.get_mut(n) {
                    *slot = true;
                }
                if !matches!(node.one, One::Folders) || c == '/' {
                    enter(&self.nodes, &mut next, n + 1);
                }
            }
            (at, inside) = (next, next_inside);
        }
        at.get(end).copied().unwrap_or(false)
    }
}

impl One {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Set(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)),
            Self::Name => c != '/',
            Self::Any | Self::Folders => true,
        }
    }
}

/// Marks a node, and all behind it that may be left out.
fn enter(nodes: &[Node], at: &mut [bool], from: usize) {
    let mut n = from;
    loop {
        match at.get_mut(n) {
            Some(slot) if !*slot => *slot = true,
            _ => return,
        }
        match nodes.get(n) {
            Some(node) if node.skippable => n += 1,
            _ => return,
        }
    }
}

/// Reads what follows `[`: ranges, and how many characters they take with the `]`.
fn set(chars: &[char]) -> Option<(Vec<(char, char)>, usize)> {
    let close = chars.iter().position(|c| *c == ']').filter(|close| *close > 0)?;
    let inside = chars.get(..close)?;
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(from) = inside.get(at).copied() {
        match (inside.get(at + 1), inside.get(at + 2)) {
            (Some('-'), Some(to)) => {
                ranges.push((from, *to));
                at += 3;
            }
            _ => {
                ranges.push((from, from));
                at += 1;
            }
        }
    }
    Some((ranges, close + 1))
}

/// The last pattern of a list that fits decides; `!` takes out again. Returns that pattern.
pub fn last_match<'a>(patterns: impl Iterator<Item = &'a str>, text: &str) -> Option<(&'a str, bool)> {
    let mut found = None;
    for written in patterns {
        let (pattern, keeps) = written.strip_prefix('!').map_or((written, true), |rest| (rest, false));
        if Pattern::new(pattern).matches(text) {
            found = Some((written, keeps));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_cheat_sheet_of_github() {
        let table = [
            ("feature/*", "feature/my-branch", true),
            ("feature/*", "feature/a/b", false),
            ("feature/**", "feature/beta-a/my-branch", true),
            ("*", "main", true),
            ("*", "a/b", false),
            ("**", "all/the/branches", true),
            ("*feature", "mona-feature", true),
            ("*feature", "feature", true),
            ("v2*", "v2.9", true),
            ("v[12].[0-9]+.[0-9]+", "v1.10.1", true),
            ("v[12].[0-9]+.[0-9]+", "v3.0.0", false),
            ("*.jsx?", "page.js", true),
            ("*.jsx?", "page.jsx", true),
            ("*.jsx?", "page.jsy", false),
            ("**.js", "js/index.js", true),
            ("docs/*", "docs/file.md", true),
            ("docs/*", "docs/a/b.md", false),
            ("docs/**/*.md", "docs/README.md", true),
            ("docs/**/*.md", "docs/a/b/c.md", true),
            ("**/docs/**", "docs/hello.md", true),
            ("**/docs/**", "dir/docs/my.txt", true),
            ("**/docs/**", "dir/nodocs/my.txt", false),
            ("**/README.md", "README.md", true),
            ("**/README.md", "js/README.md", true),
            ("**/README.md", "xREADME.md", false),
            ("**/*src/**", "a/src/app.js", true),
            ("**/*src/**", "my-src/code/js/app.js", true),
            ("**/*-post.md", "path/their-post.md", true),
            ("**/migrate-*.sql", "db/sept/migrate-v1.sql", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(Pattern::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let last = |patterns: &[&'static str], text: &str| last_match(patterns.iter().copied(), text);
        assert_eq!(
            last(&["releases/**", "!releases/**-alpha"], "releases/1-alpha"),
            Some(("!releases/**-alpha", false))
        );
        assert_eq!(
            last(&["releases/**", "!releases/**-alpha", "releases/9*"], "releases/9-alpha").map(|m| m.1),
            Some(true)
        );
        assert_eq!(last(&["releases/**"], "main"), None);
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "*a".repeat(200);
        assert!(!Pattern::new(&pattern).matches(&"a".repeat(150)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern(pattern in "\\PC{0,20}", text in "\\PC{0,20}") {
            let _ = Pattern::new(&pattern).matches(&text);
        }

        #[test]
        fn plain_text_fits_itself_only(text in "[a-z/.-]{0,12}", other in "[a-z/.-]{0,12}") {
            prop_assert_eq!(Pattern::new(&text).matches(&other), text == other);
        }
    }
}
