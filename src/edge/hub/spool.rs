//! What a hub keeps of one attempt until the engine has it: messages and the log.
//!
//! Files are appended to: they survive the hub's process, and live as long as its volume. They are forced to disk for a
//! receipt that no engine is there to take: its agent leaves a minute later.

use super::access::{Digest, digest_of};
use crate::agent::file_name;
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use tidegate_flow::job::JobMessage;
use tidegate_flow::wire::v1::{FrameDecoder, decode_message, encode_message};

/// What an attempt was opened with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    /// Its token.
    pub attempt: String,
    /// The store whose engine opened it.
    pub store: String,
    /// blake3 of its secret, hex.
    pub key: String,
    /// The agent that came first; no other is let in.
    #[serde(default)]
    pub incarnation: String,
    /// The version of that agent's program.
    #[serde(default)]
    pub version: String,
    /// Digest of its spec, hex.
    #[serde(default)]
    pub spec: String,
    /// Lists that the engine named since, hex.
    #[serde(default)]
    pub given: Vec<String>,
}

/// The files of one attempt.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    pub(super) opened: Opened,
    /// Kept and not yet acknowledged by the engine, in order.
    pub(super) messages: VecDeque<JobMessage>,
    /// The last message that is known.
    kept: u64,
    /// The last message that is in the file.
    pub(super) written: u64,
    file: File,
    /// Bytes of whole messages in it.
    whole: u64,
    log: File,
    /// Bytes of the log.
    pub(super) length: u64,
    /// Objects that it put, as read from its file.
    pub(super) own: HashSet<Digest>,
    own_file: File,
}

impl Spool {
    /// Begins one; one that is there is taken up again.
    pub(super) fn open(folder: &Path, opened: Opened) -> io::Result<Self> {
        let folder = folder.join(file_name(&opened.attempt));
        fs::create_dir_all(&folder)?;
        let spool = Self::load(folder.clone());
        match spool {
            Ok(spool) => Ok(spool),
            Err(_) => {
                // Nothing, or what cannot be read: its agent says again what nobody acknowledged.
                fs::remove_dir_all(&folder)?;
                fs::create_dir_all(&folder)?;
                write(&folder, &opened)?;
                Self::load(folder)
            }
        }
    }

    /// Reads all that a former process of this hub left.
    pub(super) fn load_all(folder: &Path) -> io::Result<Vec<Self>> {
        fs::create_dir_all(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            // One without its first file was never told about.
            found.extend(Self::load(entry?.path()).ok());
        }
        Ok(found)
    }

    fn load(folder: PathBuf) -> io::Result<Self> {
        let opened = serde_json::from_slice(&fs::read(folder.join("attempt.json"))?)?;
        let open =
            |name: &str| OpenOptions::new().read(true).append(true).create(true).open(folder.join(name));
        let (file, log) = (
            open("messages")?,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(folder.join("log"))?,
        );
        let own_file = open("own")?;
        let own = fs::read_to_string(folder.join("own"))?.lines().filter_map(digest_of).collect();
        let mut decoder = FrameDecoder::default();
        decoder.push(&fs::read(folder.join("messages"))?);
        let mut messages = VecDeque::new();
        let wrong = |e| io::Error::new(io::ErrorKind::InvalidData, e);
        // A frame cut short by a kill was never acknowledged: the agent says it again.
        while let Some(body) = decoder.next_frame().map_err(wrong)? {
            messages.push_back(decode_message(body).map_err(wrong)?);
        }
        let whole = messages.iter().filter_map(|m| encode_message(m).ok()).map(|f| f.len() as u64).sum();
        if decoder.is_mid_frame() {
            file.set_len(whole)?;
        }
        let kept = messages.back().map_or(0, |m: &JobMessage| m.seq);
        let length = log.metadata()?.len();
        Ok(Self { folder, opened, messages, kept, written: kept, file, whole, log, length, own, own_file })
    }

    /// Remembers the agent that came.
    pub(super) fn came(&mut self, incarnation: &str, version: &str) -> io::Result<()> {
        if self.opened.incarnation == incarnation {
            return Ok(());
        }
        incarnation.clone_into(&mut self.opened.incarnation);
        version.clone_into(&mut self.opened.version);
        write(&self.folder, &self.opened)
    }

    /// Lets an agent in that has another secret; an empty one changes nothing.
    pub(super) fn rekey(&mut self, key: &str) -> io::Result<()> {
        if key.is_empty() || key == self.opened.key {
            return Ok(());
        }
        key.clone_into(&mut self.opened.key);
        write(&self.folder, &self.opened)
    }

    /// Remembers the spec, if it was not said before.
    pub(super) fn is(&mut self, spec: &str) -> io::Result<()> {
        if !self.opened.spec.is_empty() || spec.is_empty() {
            return Ok(());
        }
        spec.clone_into(&mut self.opened.spec);
        write(&self.folder, &self.opened)
    }

    /// Remembers lists that the engine names.
    pub(super) fn give(&mut self, lists: &[Digest]) -> io::Result<()> {
        let before = self.opened.given.len();
        for list in lists {
            let list = blake3::Hash::from_bytes(*list).to_hex().to_string();
            if !self.opened.given.contains(&list) {
                self.opened.given.push(list);
            }
        }
        if self.opened.given.len() == before { Ok(()) } else { write(&self.folder, &self.opened) }
    }

    /// Remembers that the attempt put an object.
    pub(super) fn put(&mut self, digest: &Digest) -> io::Result<()> {
        // With a line's end on both sides: what a kill cut short spoils no other line.
        writeln!(self.own_file, "\n{}", blake3::Hash::from_bytes(*digest).to_hex())
    }

    /// Takes a message; tells whether it is a new one. One that skips a number is passed over: the
    /// agent says all that is not kept again after each connection, and in order. [`Self::write_up`] keeps it.
    pub(super) fn take(&mut self, message: &JobMessage) -> bool {
        let new = message.seq == self.kept + 1;
        if new {
            self.kept = message.seq;
            self.messages.push_back(message.clone());
        }
        new
    }

    /// Returns the number of the message that comes next.
    pub(super) fn next(&self) -> u64 {
        self.kept + 1
    }

    /// Tells whether there are messages that are not in the file.
    pub(super) fn lacks(&self) -> bool {
        self.written < self.kept
    }

    /// Writes what is not in the file yet. What cannot be written stays here, and is not told to be kept.
    pub(super) fn write_up(&mut self) -> io::Result<()> {
        let written = self.written;
        for message in self.messages.iter().filter(|m| m.seq > written) {
            let frame = encode_message(message).map_err(io::Error::other)?;
            if let Err(full) = self.file.write_all(&frame) {
                // Half a frame would spoil all that come after it.
                self.file.set_len(self.whole)?;
                return Err(full);
            }
            self.whole += frame.len() as u64;
            self.written = message.seq;
        }
        // What was acknowledged before it could be written need not be.
        self.written = self.kept;
        Ok(())
    }

    /// Forces all of it to disk.
    pub(super) fn force(&self) -> io::Result<()> {
        self.log.sync_data()?;
        self.file.sync_data()?;
        File::open(self.folder.join("attempt.json"))?.sync_data()?;
        File::open(&self.folder)?.sync_all()?;
        self.folder.parent().map_or(Ok(()), |all| File::open(all)?.sync_all())
    }

    /// The engine has all messages up to `seq`.
    pub(super) fn acknowledged(&mut self, seq: u64) {
        while self.messages.front().is_some_and(|m| m.seq <= seq) {
            self.messages.pop_front();
        }
    }

    /// Keeps bytes of the log; tells whether they follow what is there. What is there already is passed over; a gap is
    /// passed over too: the agent goes on from where this hub is.
    pub(super) fn keep_log(&mut self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        if self.length < offset {
            return Ok(false);
        }
        // As far as the disk takes it.
        while let Some(rest) = usize::try_from(self.length - offset).ok().and_then(|at| bytes.get(at..))
            && !rest.is_empty()
        {
            match self.log.write_at(rest, self.length) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.length += written as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Returns bytes of the log from `offset`, at most `limit`.
    pub(super) fn log(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(limit).min(limit);
        let mut bytes = vec![0; left];
        self.log.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Removes everything.
    pub(super) fn close(self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Written beside and moved over, so that it is there whole or not at all.
fn write(folder: &Path, opened: &Opened) -> io::Result<()> {
    let new = folder.join("attempt.new");
    fs::write(&new, serde_json::to_vec(opened)?)?;
    fs::rename(new, folder.join("attempt.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::job::MessageBody;

    fn opened() -> Opened {
        Opened { attempt: "r.0.1".into(), store: "s".into(), key: "k".into(), ..Opened::default() }
    }

    fn message(seq: u64) -> JobMessage {
        JobMessage {
            token: "r.0.1".into(),
            seq,
            at: 0,
            body: MessageBody::Started { notes: vec!["x".into()] },
        }
    }

    #[test]
    fn what_an_attempt_may_have_is_there_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), opened()).unwrap();
        spool.is("spec").unwrap();
        spool.is("another").unwrap();
        spool.give(&[[1; 32], [1; 32]]).unwrap();
        spool.put(&[2; 32]).unwrap();
        let file = folder.path().join("r.0.1/own");
        let torn = fs::read_to_string(&file).unwrap() + "\n0303";
        fs::write(&file, torn).unwrap();
        spool.put(&[4; 32]).unwrap();
        drop(spool);
        let again = Spool::load_all(folder.path()).unwrap().pop().unwrap();
        assert_eq!(again.own, HashSet::from([[2; 32], [4; 32]]));
        assert_eq!((again.opened.spec.as_str(), again.opened.given.len()), ("spec", 1));
    }

    #[test]
    fn what_was_kept_is_there_after_a_kill_and_a_torn_end_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), opened()).unwrap();
        spool.came("pod", "1.2.3").unwrap();
        assert!(spool.take(&message(1)));
        assert!(!spool.take(&message(1)), "said again");
        assert!(!spool.take(&message(3)), "a gap");
        assert!(spool.take(&message(2)));
        assert!(spool.lacks());
        spool.write_up().unwrap();
        assert!(!spool.lacks());
        assert!(spool.keep_log(0, b"one\n").unwrap());
        assert!(spool.keep_log(2, b"e\ntwo\n").unwrap());
        assert!(!spool.keep_log(90, b"gap").unwrap());
        drop(spool);
        let file = folder.path().join("r.0.1/messages");
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend_from_slice(&[200, 0, 0, 0, 1, b'{']);
        fs::write(&file, bytes).unwrap();
        let mut again = Spool::load_all(folder.path()).unwrap().pop().unwrap();
        assert_eq!((again.written, again.messages.len(), again.length), (2, 2, 8));
        assert_eq!(again.log(4, 100).unwrap(), b"two\n");
        assert_eq!(again.opened.incarnation, "pod");
        assert!(again.take(&message(3)));
        again.acknowledged(2);
        assert_eq!(again.messages.len(), 1);
        again.close();
        assert!(Spool::load_all(folder.path()).unwrap().is_empty());
    }
}
