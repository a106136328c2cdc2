//! What pods have saved of their checkpoints, so that a later attempt goes on from there. The content is
//! with the hub; which content it is, is in the engine's store, beside the checkpoints of this machine.

use crate::agent::file_name;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tidegate_flow::job::{ArtifactRef, JobSpec};

fn place(store: &Path, spec: &JobSpec) -> Option<PathBuf> {
    let key = spec.checkpoint.as_ref().map(|c| c.key.as_str()).filter(|key| !key.is_empty())?;
    // The name opens with the run, as that of a folder of this machine does: it is collected with it.
    Some(store.join("checkpoints").join(format!("{}.pods", file_name(key))))
}

/// Remembers what an attempt saved last.
pub(super) fn keep(store: &Path, spec: &JobSpec, artifact: &ArtifactRef) {
    let Some(folder) = place(store, spec) else { return };
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(&folder)?;
        let new = folder.join("saved.new");
        std::fs::write(&new, serde_json::to_vec(artifact)?)?;
        std::fs::rename(new, folder.join("saved.json"))
    };
    // An older one is better than none: the next save is remembered again.
    let _ = written();
}

/// Says in a spec what was saved last.
pub(super) fn find(store: &Path, spec: &mut JobSpec) {
    let saved = place(store, spec).and_then(|folder| std::fs::read(folder.join("saved.json")).ok());
    let saved = saved.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(checkpoint) = &mut spec.checkpoint {
        checkpoint.saved = saved;
    }
}

/// What was saved last of the checkpoints of these lines of reruns: digests of lists.
pub fn saved_lists(store: &Path, origins: &BTreeSet<String>) -> Vec<String> {
    let folders = std::fs::read_dir(store.join("checkpoints")).into_iter().flatten().flatten();
    let kept = folders.filter(|folder| {
        let name = folder.file_name().to_string_lossy().into_owned();
        name.split('-').next().is_some_and(|run| origins.contains(run))
    });
    let saved = kept.filter_map(|folder| std::fs::read(folder.path().join("saved.json")).ok());
    let saved = saved.filter_map(|bytes| serde_json::from_slice::<ArtifactRef>(&bytes).ok());
    saved.map(|artifact| artifact.digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::job::CheckpointSpec;

    #[test]
    fn what_was_saved_is_found_again() {
        let store = tempfile::tempdir().unwrap();
        let checkpoint = CheckpointSpec { key: "01J-abc-train (1/2)".into(), ..CheckpointSpec::default() };
        let mut spec = JobSpec { checkpoint: Some(checkpoint), ..JobSpec::default() };
        find(store.path(), &mut spec);
        assert_eq!(spec.checkpoint.as_ref().unwrap().saved, None);
        for digest in ["a", "b"] {
            let artifact = ArtifactRef { digest: digest.into(), tree: true, ..ArtifactRef::default() };
            keep(store.path(), &spec, &artifact);
            find(store.path(), &mut spec);
            assert_eq!(spec.checkpoint.as_ref().unwrap().saved, Some(artifact));
            let of = |run: &str| saved_lists(store.path(), &BTreeSet::from([run.to_owned()]));
            assert_eq!((of("01J"), of("01K")), (vec![digest.to_owned()], vec![]));
        }
    }
}
