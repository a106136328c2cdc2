//! The list of a kept file's or folder's parts: itself an object, named by its digest.
//!
//! Not here: reading and writing content (`objects`).

use super::StoreError;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// What one artifact or tree consists of, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of this list; grows when it changes.
    pub version: u8,
    /// Whether it is a folder; else there is one file, whose path is empty.
    pub tree: bool,
    /// Files, links and empty folders.
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// The form that is written.
    pub(super) const VERSION: u8 = 1;

    /// Reads the bytes that lie under a digest.
    pub fn read(digest: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged(digest.to_owned());
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        if manifest.version == Self::VERSION { Ok(manifest) } else { Err(damaged()) }
    }
}

/// One file, link or empty folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path below the folder; see [`path_text`].
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether anybody may execute it.
        executable: bool,
        /// Bytes.
        size: u64,
        /// blake3 of the whole content, in hex.
        digest: String,
        /// Digests of its chunks; empty: the content is one object under `digest`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        chunks: Vec<String>,
    },
    /// A symbolic link.
    Link {
        /// Where it points; see [`path_text`].
        target: String,
    },
    /// A folder without entries.
    Folder,
}

impl EntryKind {
    /// Digests of the objects that hold its content.
    pub fn objects(&self) -> &[String] {
        match self {
            Self::File { digest, chunks, .. } if chunks.is_empty() => std::slice::from_ref(digest),
            Self::File { chunks, .. } => chunks,
            Self::Link { .. } | Self::Folder => &[],
        }
    }
}

/// Writes a path as text. One that is not UTF-8 becomes a NUL, which no path has, and hex.
pub fn path_text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => path.as_os_str().as_bytes().iter().fold("\0".to_owned(), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

/// Reads what [`path_text`] wrote.
pub fn text_path(text: &str) -> PathBuf {
    let Some(hex) = text.strip_prefix('\0') else { return PathBuf::from(text) };
    let byte = |i: usize| hex.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).filter_map(byte).collect();
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Tells whether a path leads nowhere but below the folder it is joined to.
pub fn stays_below(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::Normal(_)))
}

/// Tells whether a link at `at` (below a folder) that points to `target` stays in that folder.
pub fn link_stays_below(at: &Path, target: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_as_text() {
        for bytes in [&b"a b/\n\xff\x00"[..3], b"plain", b"\xff\xfe/x", "é".as_bytes()] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(text_path(&path_text(path)), path);
        }
    }

    #[test]
    fn links_out_of_the_folder_are_told() {
        let stays = |at: &str, to: &str| link_stays_below(Path::new(at), Path::new(to));
        assert!(stays("a/b", "../c") && stays("a", "b/../c") && stays("a/b/c", "../../d"));
        assert!(!stays("a", "../c") && !stays("a/b", "/etc") && !stays("a/b", "../../c"));
    }
}
