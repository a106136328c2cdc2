//! What `actions/cache` saved, as entries beside the objects: `(key, paths, time, artifact)` each.
//!
//! Not here: saving and restoring (`builtin`).

use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tidegate_flow::job::ArtifactRef;

/// One entry.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its file: without it, nobody finds the content.
    pub file: PathBuf,
    /// When it was saved or restored last.
    pub used: SystemTime,
    /// Digest of its content's manifest; `None` where the entry cannot be read.
    pub content: Option<String>,
}

/// Lists the entries of a store.
pub fn saved(store: &Path) -> std::io::Result<Vec<Saved>> {
    let entries = match std::fs::read_dir(folder(store)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry?.path();
        let used = std::fs::metadata(&file)?.modified()?;
        let entry = serde_json::from_slice::<(String, String, i64, ArtifactRef)>(&std::fs::read(&file)?);
        found.push(Saved { file, used, content: entry.ok().map(|(.., artifact)| artifact.digest) });
    }
    Ok(found)
}

pub(super) fn folder(store: &Path) -> PathBuf {
    store.join("action-cache")
}

pub(super) fn entry_name(key: &str, paths: &str) -> String {
    blake3::hash(format!("{key}\0{paths}").as_bytes()).to_hex().to_string()
}

/// Notes that an entry is used; tells whether it is there.
pub(super) fn used(file: &Path) -> bool {
    let Ok(file) = File::open(file) else { return false };
    // Somebody else's file keeps its time: it only goes sooner.
    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
    true
}
