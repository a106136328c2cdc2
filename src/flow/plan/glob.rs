//! Globs of `cache.inputs`: `*` within a folder, `**` across folders, `?` one character.

/// Tells whether a path fits a glob. A folder's name stands for all below it.
pub(super) fn matches(glob: &str, path: &str) -> bool {
    let glob = glob.trim_start_matches("./").trim_end_matches('/');
    fits(glob.as_bytes(), path.as_bytes())
        || (!glob.is_empty() && path.strip_prefix(glob).is_some_and(|rest| rest.starts_with('/')))
}

/// Matches with two places to go back to: the last `*` and the last `**`.
fn fits(glob: &[u8], path: &[u8]) -> bool {
    let (mut g, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        match (glob.get(g), path.get(p)) {
            (Some(b'*'), _) if glob.get(g + 1) == Some(&b'*') => {
                g += 2;
                if glob.get(g) == Some(&b'/') {
                    g += 1;
                }
                stars = Some((g, p));
                star = None;
                continue;
            }
            (Some(b'*'), _) => {
                g += 1;
                star = Some((g, p));
                continue;
            }
            (Some(b'?'), Some(c)) if *c != b'/' => {
                g += 1;
                p += 1;
                continue;
            }
            (Some(a), Some(b)) if a == b => {
                g += 1;
                p += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match (star, stars) {
            (Some((after, at)), _) if path.get(at).is_some_and(|c| *c != b'/') => {
                star = Some((after, at + 1));
                (g, p) = (after, at + 1);
            }
            (_, Some((after, at))) if at < path.len() => {
                stars = Some((after, at + 1));
                star = None;
                (g, p) = (after, at + 1);
            }
            _ => return false,
        }
    }
}
