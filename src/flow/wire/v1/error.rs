//! Why stored or sent bytes cannot be written or read.

use super::VERSION;
use serde_json::Value as Json;

/// Why stored or sent bytes cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A newer program wrote it.
    #[error("written in form {found}; this tidegate reads forms up to {known}")]
    Newer {
        /// Its version.
        found: u64,
        /// Ours.
        known: u8,
    },
    /// A kind that this program does not know.
    #[error("{what} of the unknown kind `{kind}`; a newer tidegate may know it")]
    UnknownKind {
        /// `event`, `request` or `message`.
        what: &'static str,
        /// As written.
        kind: String,
    },
    /// Not what it should be.
    #[error("damaged {what}: {source}")]
    Damaged {
        /// `event`, `request` or `message`.
        what: &'static str,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// A frame larger than the limit.
    #[error("a frame of {size} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u32,
    },
    /// A frame without even a version.
    #[error("an empty frame")]
    Empty,
    /// It could be written, but not read again.
    #[error("{what} is nested deeper than {limit} levels")]
    TooDeep {
        /// Which part.
        what: &'static str,
        /// Levels.
        limit: u32,
    },
}

/// Finds the best words for JSON that did not fit: its version, its kind, or the reader's own.
pub(super) fn explain(
    what: &'static str,
    bytes: &[u8],
    pointer: &str,
    known: &[&str],
    source: serde_json::Error,
) -> WireError {
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else {
        return WireError::Damaged { what, source };
    };
    if let Some(found) = json.get("v").and_then(Json::as_u64).filter(|found| *found > u64::from(VERSION)) {
        return WireError::Newer { found, known: VERSION };
    }
    let kind = match json.pointer(pointer) {
        Some(Json::String(kind)) => Some(kind),
        Some(Json::Object(fields)) if fields.len() == 1 => fields.keys().next(),
        _ => None,
    };
    match kind {
        Some(kind) if !known.contains(&kind.as_str()) => WireError::UnknownKind { what, kind: kind.clone() },
        _ => WireError::Damaged { what, source },
    }
}
