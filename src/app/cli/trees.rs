//! Which files differ between the trees of two runs.

use crate::app::report::FileChange;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_edge::store::{EntryKind, FileObjects};
use tidegate_flow::job::SourceSpec;

/// Lists the project's files that differ; `None` where a tree is not kept any more.
pub(super) fn changed_files(
    objects: &FileObjects,
    before: &SourceSpec,
    now: &SourceSpec,
) -> Option<Vec<FileChange>> {
    if before.tree == now.tree {
        return Some(Vec::new());
    }
    let (before, now) = (files(objects, before)?, files(objects, now)?);
    let paths: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changes = paths.into_iter().filter(|path| before.get(*path) != now.get(*path));
    Some(
        changes
            .map(|path| FileChange {
                path: path.clone(),
                before: before.get(path).cloned(),
                now: now.get(path).cloned(),
            })
            .collect(),
    )
}

/// Digests of the project's files.
fn files(objects: &FileObjects, source: &SourceSpec) -> Option<BTreeMap<String, String>> {
    let manifest = objects.manifest(&source.tree).ok()?;
    let folder = if source.project.is_empty() { String::new() } else { format!("{}/", source.project) };
    let file = |path: String, kind: EntryKind| {
        let path = path.strip_prefix(&folder)?.to_owned();
        match kind {
            EntryKind::File { digest, executable, .. } => {
                Some((path, if executable { format!("{digest}+x") } else { digest }))
            }
            EntryKind::Link { target } => Some((path, format!("→ {target}"))),
            EntryKind::Folder => None,
        }
    };
    Some(manifest.entries.into_iter().filter_map(|entry| file(entry.path, entry.kind)).collect())
}
