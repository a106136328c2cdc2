//! Patterns of `branches`, `tags` and `paths` that cannot match what they are written for.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Span, Spanned};
use crate::workflow::glob::Pattern;

pub(super) const RULE: Rule = Rule {
    id: "bad-glob",
    level: Level::Tidegate,
    about: "a pattern of branches, tags or paths is malformed, or can never match",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for event in &facts.workflow.on.events {
        let refs = [&event.branches, &event.branches_ignore, &event.tags, &event.tags_ignore];
        for pattern in refs.into_iter().flatten().flatten() {
            found.extend(malformed(pattern, facts).or_else(|| never_a_ref(pattern, facts)));
        }
        for pattern in [&event.paths, &event.paths_ignore].into_iter().flatten().flatten() {
            found.extend(malformed(pattern, facts).or_else(|| never_a_path(pattern)));
        }
    }
    for source in &facts.workflow.data {
        for pattern in source.include.iter().chain(&source.exclude) {
            found.extend(malformed(pattern, facts));
        }
    }
    found
}

fn malformed(pattern: &Spanned<String>, facts: &Facts<'_>) -> Option<Diagnostic> {
    let error = Pattern::parse(&pattern.value).err()?;
    let span = place(pattern, error.offset, facts);
    Some(Diagnostic::error(RULE.id, span, format!("`{}` is no pattern: {}", pattern.value, error.message)))
}

/// git's rules for names ("git check-ref-format").
fn never_a_ref(pattern: &Spanned<String>, facts: &Facts<'_>) -> Option<Diagnostic> {
    let text = pattern.value.strip_prefix('!').unwrap_or(&pattern.value);
    let shift = pattern.value.len() - text.len();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let span = || place(pattern, at + shift, facts);
        let finding = |what: &str| {
            Some(Diagnostic::error(
                RULE.id,
                span(),
                format!("`{}` matches no branch or tag: {what}", pattern.value),
            ))
        };
        if escaped {
            escaped = false;
            if !"[]?+*\\!".contains(c) {
                return finding("only `[ ] ? + * ! \\` can be escaped");
            }
            if !"+!]".contains(c) {
                return finding(&format!("their names cannot contain `{c}`"));
            }
            continue;
        }
        match c {
            '\\' => escaped = true,
            ' ' | '~' | '^' | ':' | '\t' => {
                return finding(&format!(
                    "their names cannot contain `{c}`; this is a pattern, not a regular expression"
                ));
            }
            '/' if at == 0 => return finding("their names do not start with `/`"),
            _ => {}
        }
    }
    (text.ends_with('/') || text.ends_with('.')).then(|| {
        let span = place(pattern, pattern.value.len() - 1, facts);
        Diagnostic::error(
            RULE.id,
            span,
            format!("`{}` matches no branch or tag: their names do not end so", pattern.value),
        )
    })
}

fn never_a_path(pattern: &Spanned<String>) -> Option<Diagnostic> {
    let text = pattern.value.strip_prefix('!').unwrap_or(&pattern.value);
    let what = if text.trim() != text {
        "it begins or ends with a space"
    } else if text.split('/').any(|part| part == "." || part == "..") {
        "paths are compared whole, so `.` and `..` match nothing"
    } else if text.starts_with('/') {
        "paths count from the top of the repository and do not start with `/`"
    } else {
        return None;
    };
    Some(Diagnostic::error(RULE.id, pattern.span, format!("`{}` matches no path: {what}", pattern.value)))
}

/// The place of one character of a pattern, where the file shows the pattern as it is.
fn place(pattern: &Spanned<String>, at: usize, facts: &Facts<'_>) -> Span {
    let written = facts.context.sources.text(pattern.span);
    let exact = written.find(pattern.value.as_str()).and_then(|quote| {
        let length = pattern.value.get(at..)?.chars().next()?.len_utf8();
        let start = u32::try_from(quote + at).ok()?.checked_add(pattern.span.start)?;
        Some(Span { start, end: start + u32::try_from(length).ok()?, ..pattern.span })
    });
    exact.unwrap_or(pattern.span)
}
