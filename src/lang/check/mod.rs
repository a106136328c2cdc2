//! The rules a workflow must keep: one file each, its id is its file's name and its anchor in
//! `docs/rules.md`.
