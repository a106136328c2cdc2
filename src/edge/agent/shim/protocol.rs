//! What an agent and a shim say to each other: JSON, a line each.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;

/// The longest line: an environment has at most a few megabytes.
pub(super) const LINE_LIMIT: usize = 64 << 20;

/// Bytes as text that JSON can hold: each byte is the character of its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(String);

impl From<&OsStr> for Bytes {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().iter().map(|b| char::from(*b)).collect())
    }
}

impl From<Bytes> for OsString {
    fn from(bytes: Bytes) -> Self {
        Self::from_vec(bytes.0.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect())
    }
}

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Look for a program along a path; answered by [`Word::Found`].
    Find { name: Bytes, path: Bytes, directory: Bytes },
    /// Tell whether there is such a folder; answered by [`Word::Folder`].
    Folder { path: Bytes },
    /// Start a program whose output goes to a named pipe; answered by [`Word::Started`], and later
    /// followed by [`Word::Exited`].
    Start { program: Bytes, args: Vec<Bytes>, directory: Bytes, env: Vec<(Bytes, Bytes)>, output: Bytes },
    /// Send a signal to what runs and to what carries the mark; not answered.
    Signal { mark: String, signal: i32 },
    /// Tell whether something is left; answered by [`Word::Strays`].
    Look,
    /// End what is left; answered by [`Word::Cleaned`].
    Clean { mark: String, whole: bool },
    /// All steps of this container are done: end with this code.
    Finish { code: u8 },
}

/// From the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// The first one: the image's environment.
    Hello { version: u32, env: Vec<(Bytes, Bytes)> },
    /// Where the program is.
    Found { path: Option<Bytes> },
    /// Whether there is such a folder.
    Folder { there: bool },
    /// It runs, or the system's error number says why not.
    Started { error: Option<i32> },
    /// It ended; `status` as `wait(2)` gives it.
    Exited { status: i32, memory: bool },
    /// Whether something is left.
    Strays { any: bool },
    /// What was ended.
    Cleaned { names: Vec<String> },
    /// The container was told to end: its pod is being removed.
    Leaving,
}

/// Version of these forms.
pub(super) const VERSION: u32 = 2;

/// Writes one line.
pub(super) fn say<T: Serialize>(mut to: &UnixStream, what: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Cuts what was read into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Takes what was read and returns the whole lines.
    pub(super) fn push<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> io::Result<Vec<T>> {
        self.buffer.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(rest) = self.buffer.get(from..)
            && let Some(length) = rest.iter().position(|b| *b == b'\n')
        {
            let line = rest.get(..length).unwrap_or_default();
            found.push(serde_json::from_slice(line)?);
            from += length + 1;
        }
        self.buffer.drain(..from);
        if self.buffer.len() > LINE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
        }
        Ok(found)
    }
}
