//! What `actions/cache` saved, as entries beside the objects: `(key, paths, time, artifact)` each. What processes of this
//! machine saved is in its store; what pods saved is at their hub, and its entries are in the engine's store.
//!
//! Not here: saving and restoring (`builtin`).

use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tidegate_flow::job::{ArtifactRef, SavedCache};

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

/// The entries of one place.
#[derive(Clone, Debug)]
pub struct ActionCaches {
    folder: PathBuf,
}

/// As it is stored: its key, the action's `path`, milliseconds since 1970, its files.
type Entry = (String, String, i64, ArtifactRef);

impl ActionCaches {
    /// What processes and containers of this machine saved.
    pub fn of_machine(store: &Path) -> Self {
        Self { folder: store.join("action-cache") }
    }

    /// What pods saved.
    pub fn of_pods(store: &Path) -> Self {
        Self { folder: store.join("action-cache.pods") }
    }

    /// Lists the entries.
    pub fn all(&self) -> io::Result<Vec<Saved>> {
        let mut found = Vec::new();
        for file in self.files()? {
            let used = std::fs::metadata(&file)?.modified()?;
            let entry = serde_json::from_slice::<Entry>(&std::fs::read(&file)?);
            found.push(Saved { file, used, content: entry.ok().map(|(.., artifact)| artifact.digest) });
        }
        Ok(found)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Finds the entry of the first of these keys that has one: exactly that, else the newest that starts with it. An entry
    /// whose content `is_there` does not know is passed over; the one that is found counts as used.
    /// <https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching#cache-key-matching>
    pub fn find(
        &self,
        keys: &[String],
        paths: &str,
        mut is_there: impl FnMut(&ArtifactRef) -> bool,
    ) -> Option<SavedCache> {
        let read = |file: PathBuf| serde_json::from_slice::<Entry>(&std::fs::read(file).ok()?).ok();
        let mut entries: Vec<Entry> = self.files().ok()?.into_iter().filter_map(read).collect();
        entries.retain(|(_, of, ..)| of == paths);
        for wanted in keys {
            let mut fits: Vec<&Entry> = entries.iter().filter(|(key, ..)| key.starts_with(wanted)).collect();
            fits.sort_by_key(|(key, _, at, _)| std::cmp::Reverse((key == wanted, *at)));
            let there = fits.into_iter().find(|(key, _, _, artifact)| {
                is_there(artifact) && used(&self.folder.join(entry_name(key, paths)))
            });
            if let Some((key, _, _, artifact)) = there {
                return Some(SavedCache { key: key.clone(), artifact: artifact.clone() });
            }
        }
        None
    }

    /// Adds an entry of this time, in milliseconds since 1970. One that has its key and paths stays, unless it is to be
    /// replaced. `by` is nobody else's name.
    pub fn add(&self, saved: &SavedCache, paths: &str, at: i64, by: &str, replace: bool) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let entry = self.folder.join(entry_name(&saved.key, paths));
        let part = entry.with_extension(by);
        std::fs::write(&part, serde_json::to_vec(&(&saved.key, paths, at, &saved.artifact))?)?;
        if replace {
            return std::fs::rename(&part, entry);
        }
        // Another job may save the same key at the same time: the first complete one stays.
        let done = std::fs::hard_link(&part, entry);
        let _ = std::fs::remove_file(&part);
        match done {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

fn entry_name(key: &str, paths: &str) -> String {
    blake3::hash(format!("{key}\0{paths}").as_bytes()).to_hex().to_string()
}

/// Notes that an entry is used; tells whether it is there.
fn used(file: &Path) -> bool {
    let Ok(file) = File::open(file) else { return false };
    // Somebody else's file keeps its time: it only goes sooner.
    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(key: &str, digest: &str) -> SavedCache {
        let artifact = ArtifactRef { digest: digest.into(), ..ArtifactRef::default() };
        SavedCache { key: key.into(), artifact }
    }

    #[test]
    fn which_entry_is_found() {
        let store = tempfile::tempdir().unwrap();
        let caches = ActionCaches::of_pods(store.path());
        let find = |keys: &[&str], paths: &str, there: &str| {
            let keys: Vec<String> = keys.iter().map(|&key| key.into()).collect();
            let found = caches.find(&keys, paths, |artifact| there.contains(&artifact.digest));
            found.map(|saved| format!("{} {}", saved.key, saved.artifact.digest))
        };
        assert_eq!(find(&["pip"], ".", "abc"), None);
        for (at, (key, digest)) in (1..).zip([("pip-1", "a"), ("pip-1-x", "b"), ("pip-2", "c")]) {
            caches.add(&saved(key, digest), ".", at, "me", false).unwrap();
        }
        for (keys, paths, there, found) in [
            (&["pip-1"][..], ".", "abc", Some("pip-1 a")),
            (&["pip"], ".", "abc", Some("pip-2 c")),
            (&["pip-3", "pip-1"], ".", "abc", Some("pip-1 a")),
            (&["pip-3", "pip-1", "pip"], ".", "bc", Some("pip-1-x b")),
            (&["npm", "pip-1-"], ".", "abc", Some("pip-1-x b")),
            (&["pip-1"], "elsewhere", "abc", None),
            (&["pip"], ".", "", None),
        ] {
            assert_eq!(find(keys, paths, there).as_deref(), found, "{keys:?} {paths} {there}");
        }
    }

    #[test]
    fn the_first_stays_unless_it_is_replaced() {
        let store = tempfile::tempdir().unwrap();
        let caches = ActionCaches::of_machine(store.path());
        let digest = || caches.find(&["k".into()], ".", |_| true).unwrap().artifact.digest;
        for (replace, given, kept) in [(false, "a", "a"), (false, "b", "a"), (true, "c", "c")] {
            caches.add(&saved("k", given), ".", 1, "me", replace).unwrap();
            assert_eq!(digest(), kept);
            assert_eq!(caches.all().unwrap().len(), 1, "nothing lies about");
        }
    }
}
