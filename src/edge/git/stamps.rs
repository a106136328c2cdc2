//! What files looked like when they were read, so that the unchanged are not read again.

use crate::store::{EntryKind, STALE};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file changed so shortly before it was read may change again without its times showing it.
const RACY_NANOSECONDS: i128 = 50_000_000;

/// What the file system says of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    mode: u32,
    inode: u64,
    modified: i128,
    changed: i128,
}

impl Stamp {
    /// Takes it from what the file system said.
    pub fn of(meta: &Metadata) -> Self {
        let time =
            |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Self {
            size: meta.len(),
            mode: meta.mode(),
            inode: meta.ino(),
            modified: time(meta.mtime(), meta.mtime_nsec()),
            changed: time(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Tells whether a file with this stamp, read at `read`, is surely the same while the stamp is.
    pub fn settled(&self, read: i128) -> bool {
        self.modified.max(self.changed) + RACY_NANOSECONDS < read
    }
}

/// The stamps and contents of a tree's files.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Stamps {
    root: String,
    /// When the reading began.
    read: i128,
    /// When all of the contents were last seen to be in the store, and made young there.
    #[serde(default)]
    claimed: i128,
    files: HashMap<String, (Stamp, EntryKind)>,
}

impl Stamps {
    /// Starts a memory of files that are read from now on.
    pub fn new(root: &Path) -> Self {
        let now = now();
        Self { root: root.display().to_string(), read: now, claimed: now, files: HashMap::new() }
    }

    /// Tells whether the contents are in the store without asking it: no collection can have taken
    /// away what was seen there so lately.
    pub fn surely_kept(&self) -> bool {
        now().saturating_sub(self.claimed) < i128::try_from(STALE.as_nanos()).unwrap_or(0)
            && self.claimed <= now()
    }

    /// Takes over from an earlier memory that its contents were not looked for anew.
    pub fn kept_since(&mut self, earlier: &Self) {
        self.claimed = self.claimed.min(earlier.claimed);
    }

    /// Reads a memory; nothing if it is another tree's, or damaged: then all is read anew.
    pub fn read(path: &Path, root: &Path) -> Self {
        let read = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        read.filter(|s| s.root == root.display().to_string()).unwrap_or_default()
    }

    /// Returns the content a file had if it surely has it still.
    pub fn get(&self, path: &str, stamp: &Stamp) -> Option<&EntryKind> {
        let (known, kind) = self.files.get(path)?;
        (known == stamp && known.settled(self.read)).then_some(kind)
    }

    /// Remembers a file.
    pub fn insert(&mut self, path: String, stamp: Stamp, kind: EntryKind) {
        self.files.insert(path, (stamp, kind));
    }

    /// Writes the memory. If that fails, the next time reads all files again, no more.
    pub fn write(&self, path: &Path) {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        if let Ok(bytes) = serde_json::to_vec(self)
            && std::fs::write(&new, bytes).is_ok()
            && std::fs::rename(&new, path).is_err()
        {
            let _ = std::fs::remove_file(&new);
        }
    }
}

/// Nanoseconds since 1970.
pub fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}
