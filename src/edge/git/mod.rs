//! Commits, trees, changed files and dirty working copies.
