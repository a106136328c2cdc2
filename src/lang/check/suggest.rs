//! "Did you mean": the nearest of the names that exist.

use crate::expr::closest;
use std::fmt::Write as _;

/// Returns the candidate nearest to a name, if it is near enough to be a slip of the pen.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(name, candidates.into_iter())
}

/// Lists names for a line of help: `` `a`, `b` ``, shortened when there are many.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(12).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if all.len() > 12 {
        let _ = write!(text, " and {} more", all.len() - 12);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{list, nearest};

    #[test]
    fn finds_slips_and_leaves_strangers() {
        assert_eq!(nearest("metric", ["metrics", "matrix"]), Some("metrics"));
        assert_eq!(nearest("Prepar", ["prepare", "train"]), Some("prepare"));
        assert_eq!(nearest("xyz", ["prepare", "train"]), None);
    }

    #[test]
    fn shortens_long_lists() {
        assert_eq!(list(["a", "b"]), "`a`, `b`");
        assert!(list(["x"; 15]).ends_with("and 3 more"));
    }
}
