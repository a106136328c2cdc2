//! `hashFiles()`: SHA-256 over the SHA-256 of each matching file, in path order (rule: GitHub,
//! "Evaluate expressions", `hashFiles`).

use super::fence::{Fence, handle};
use super::sha256::Sha256;
use rustix::fs::FileType;
use std::io::Read as _;
use std::path::Path;

/// Hashes the files below `folder` that match; empty text if none does. Patterns are taken in
/// order, `!` takes matches back; symbolic links to folders are not followed.
pub fn hash_files(folder: &Path, patterns: &[String]) -> Result<String, String> {
    hash_files_in(&Fence::default(), folder, patterns)
}

/// [`hash_files`], with no file that a fence keeps out.
pub(super) fn hash_files_in(fence: &Fence, folder: &Path, patterns: &[String]) -> Result<String, String> {
    let patterns: Vec<(bool, String)> = patterns
        .iter()
        .flat_map(|p| p.lines())
        .map(str::trim)
        .filter(|p| !p.is_empty() && !p.starts_with('#'))
        .map(|p| match p.strip_prefix('!') {
            Some(rest) => (false, clean(folder, rest)),
            None => (true, clean(folder, p)),
        })
        .collect();
    let mut files = Vec::new();
    walk(fence, folder, "", &mut files);
    files.sort();
    let mut whole = Sha256::default();
    let mut any = false;
    for file in files {
        let chosen = patterns.iter().fold(
            false,
            |chosen, (include, pattern)| {
                if matches(pattern, &file) { *include } else { chosen }
            },
        );
        if chosen {
            any = true;
            whole.update(
                &hash_file(fence, &folder.join(&file)).map_err(|e| format!("hashFiles: {file}: {e}"))?,
            );
        }
    }
    Ok(if any { whole.hex() } else { String::new() })
}

fn clean(folder: &Path, pattern: &str) -> String {
    let pattern = pattern.strip_prefix(&*folder.to_string_lossy()).unwrap_or(pattern);
    pattern.trim_start_matches('/').trim_start_matches("./").to_owned()
}

fn hash_file(fence: &Fence, path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = fence.open(path)?;
    let mut hash = Sha256::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hash.finish());
        }
        hash.update(buffer.get(..n).unwrap_or_default());
    }
}

fn walk(fence: &Fence, folder: &Path, prefix: &str, files: &mut Vec<String>) {
    let Ok(found) = fence.find(folder) else { return };
    let Ok(entries) = std::fs::read_dir(handle(&found)) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let whole = folder.join(entry.file_name());
        let leads_to_file = || matches!(fence.kind(&whole), Ok(Some(FileType::RegularFile)));
        match entry.file_type() {
            Ok(t) if t.is_dir() => walk(fence, &whole, &path, files),
            Ok(t) if t.is_file() || (t.is_symlink() && leads_to_file()) => files.push(path),
            _ => {}
        }
    }
}

/// Tells whether a path matches: `*` and `?` stay inside a folder, `**` does not; a pattern that
/// names a folder matches all below it.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_end_matches('/').split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    segments(&pattern, &path)
}

fn segments(pattern: &[&str], path: &[&str]) -> bool {
    // Greedy with one way back, so that no pattern takes exponential time.
    let (mut p, mut s) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while s < path.len() {
        match pattern.get(p) {
            None if back.is_none() => return true,
            Some(&"**") => {
                back = Some((p, s));
                p += 1;
                continue;
            }
            Some(segment) if path.get(s).is_some_and(|name| segment_matches(segment, name)) => {
                p += 1;
                s += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, at)) = back else { return false };
        p = star + 1;
        s = at + 1;
        back = Some((star, s));
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|r| *r == "**"))
}

fn segment_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut back = None;
    while n < name.len() {
        let here = name.get(n).copied();
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => {
                p += 1;
                n += 1;
                continue;
            }
            Some('[') if class(&pattern, p, here).is_some_and(|(hit, _)| hit) => {
                p = class(&pattern, p, here).map_or(p + 1, |(_, next)| next);
                n += 1;
                continue;
            }
            Some(c) if Some(*c) == here => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, at)) = back else { return false };
        p = star + 1;
        n = at + 1;
        back = Some((star, n));
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

/// `[a-z]`, `[!a]`: whether it matches, and where the pattern goes on.
fn class(pattern: &[char], at: usize, c: Option<char>) -> Option<(bool, usize)> {
    let c = c?;
    let close = at + 2 + pattern.get(at + 2..)?.iter().position(|x| *x == ']')?;
    let mut inside = pattern.get(at + 1..close)?;
    let negated = matches!(inside.first(), Some('!' | '^'));
    if negated {
        inside = inside.get(1..)?;
    }
    let mut hit = false;
    let mut i = 0;
    while let Some(from) = inside.get(i).copied() {
        if let (Some('-'), Some(to)) = (inside.get(i + 1), inside.get(i + 2).copied()) {
            hit |= (from..=to).contains(&c);
            i += 3;
        } else {
            hit |= from == c;
            i += 1;
        }
    }
    Some((hit != negated, close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, want) in [
            ("**/*.lock", "a/b/x.lock", true),
            ("**/*.lock", "x.lock", true),
            ("*.lock", "a/x.lock", false),
            ("a/**", "a/b/c", true),
            ("a", "a/b/c", true),
            ("a/?.t[xy]t", "a/1.tyt", true),
            ("a/[!b].c", "a/b.c", false),
            ("**/a/**/b", "x/a/y/z/b", true),
        ] {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn hash_is_of_the_hashes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        // printf '' | sha256sum | xxd -r -p | sha256sum
        assert_eq!(
            hash_files(dir.path(), &["a".into()]).unwrap(),
            "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456"
        );
        assert_eq!(hash_files(dir.path(), &["b".into()]).unwrap(), "");
        assert_eq!(hash_files(dir.path(), &["*".into(), "!a".into()]).unwrap(), "");
    }
}
