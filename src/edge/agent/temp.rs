//! Folders for the temporary files of attempts: command files, scripts, `RUNNER_TEMP`.
//!
//! Making and removing ten files for each attempt costs more than starting its shell, so a folder
//! that an attempt left as it found it serves the next one. All processes of the attempt have ended
//! by then, so nobody can write to it later.

use super::keep::{Stamp, stamp_of};
use super::place::remove;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel's clock of files may stand still for this long: two changes may have one time
/// (git's documentation calls such files racy).
const TICK: Duration = Duration::from_millis(50);

/// A folder of one attempt.
#[derive(Debug)]
pub struct TempFolder {
    /// The folder; `RUNNER_TEMP` is `_temp` in it.
    pub path: PathBuf,
    /// The first step's command files: empty, and these are their stamps.
    pub fresh: Option<Vec<(PathBuf, Stamp)>>,
    /// What `event.json` says.
    event: Option<Event>,
    /// The first step's script: its path, its inode and mode, its size in bytes.
    script: Option<(PathBuf, (u64, u32), u64)>,
    /// The folder and `_temp` when they surely held this and nothing else.
    seen: Option<[Stamp; 2]>,
}

#[derive(Debug)]
struct Event {
    text: String,
    stamp: Stamp,
    /// Whether a change would show in the stamp: it was no longer recent when the text was read.
    settled: bool,
}

impl TempFolder {
    fn new(path: PathBuf) -> Self {
        Self { path, fresh: None, event: None, script: None, seen: None }
    }

    /// Writes the event's payload, unless it is there from before.
    pub fn write_event(&mut self, text: String) -> io::Result<()> {
        if self.event.as_ref().is_some_and(|there| there.text == text) {
            return Ok(());
        }
        let path = self.path.join(EVENT);
        std::fs::write(&path, &text)?;
        self.event = stamp_of(&path).map(|stamp| Event { text, stamp, settled: false });
        Ok(())
    }

    /// Writes the first step's script into the file of the attempt before, where there is one: a new
    /// file costs more, and emptying one makes ext4 wait for the disk when it is closed.
    pub fn write_script(&mut self, path: &Path, text: &[u8]) -> io::Result<()> {
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let file = match self.script.take() {
            Some((old, kept, before)) if old == path && size > 0 => {
                let mut file = File::options().write(true).open(path)?;
                file.write_all(text)?;
                if size < before {
                    file.set_len(size)?;
                }
                self.script = Some((old, kept, size));
                return Ok(());
            }
            old => {
                if let Some((old, ..)) = old {
                    std::fs::remove_file(old)?;
                }
                let mut file = File::create(path)?;
                file.write_all(text)?;
                file
            }
        };
        let made = file.metadata()?;
        self.script = Some((path.to_owned(), (made.ino(), made.mode()), size));
        Ok(())
    }

    /// Tells whether all is as it was made, so that it may serve another attempt.
    fn is_tidy(&mut self) -> Option<bool> {
        let fresh = self.fresh.as_ref()?;
        if fresh.iter().any(|(path, stamp)| stamp_of(path).as_ref() != Some(stamp)) {
            return Some(false);
        }
        if let Some(event) = &mut self.event {
            let path = self.path.join(EVENT);
            let now = stamp_of(&path)?;
            if now != event.stamp {
                return Some(false);
            }
            if !event.settled {
                let settled = !is_recent(&now);
                if std::fs::read(&path).ok()? != event.text.as_bytes() {
                    return Some(false);
                }
                event.settled = settled;
            }
        }
        if let Some((path, kept, _)) = &self.script {
            let now = std::fs::symlink_metadata(path).ok()?;
            if (now.ino(), now.mode()) != *kept || now.nlink() != 1 {
                return Some(false);
            }
        }
        let temp = self.path.join("_temp");
        let now = [stamp_of(&self.path)?, stamp_of(&temp)?];
        if self.seen.as_ref() != Some(&now) {
            let settled = !now.iter().any(is_recent);
            let mut expected: Vec<OsString> = vec!["_temp".into()];
            expected.extend(fresh.iter().filter_map(|(path, _)| Some(path.file_name()?.to_owned())));
            expected.extend(self.event.as_ref().map(|_| EVENT.into()));
            let script = self.script.as_ref().and_then(|(path, ..)| Some(path.file_name()?.to_owned()));
            if !holds(&self.path, expected)? || !holds(&temp, script.into_iter().collect())? {
                return Some(false);
            }
            self.seen = settled.then_some(now);
        }
        Some(true)
    }
}

const EVENT: &str = "event.json";

/// Tells whether a folder holds exactly these entries.
fn holds(folder: &Path, mut expected: Vec<OsString>) -> Option<bool> {
    for entry in std::fs::read_dir(folder).ok()? {
        let name = entry.ok()?.file_name();
        let Some(at) = expected.iter().position(|one| *one == name) else { return Some(false) };
        expected.swap_remove(at);
    }
    Some(expected.is_empty())
}

/// Tells whether something was changed so lately that a second change may not show in its time.
fn is_recent(stamp: &Stamp) -> bool {
    let changed =
        Duration::new(u64::try_from(stamp.2).unwrap_or(u64::MAX), u32::try_from(stamp.3).unwrap_or_default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(changed).is_none_or(|age| age < TICK)
}

/// The folders of one process.
#[derive(Debug)]
pub struct TempFolders {
    folder: PathBuf,
    number: AtomicU64,
    free: Mutex<Vec<TempFolder>>,
}

impl TempFolders {
    /// Keeps folders below `folder`; what dead processes left there is removed.
    pub fn new(folder: PathBuf) -> Self {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                remove(&entry.path());
            }
        }
        Self { folder, number: AtomicU64::new(0), free: Mutex::default() }
    }

    /// Takes a folder that is as good as new.
    pub fn take(&self) -> io::Result<TempFolder> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(free) = free {
            return Ok(free);
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(&path)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                remove(&path);
                std::fs::create_dir_all(&path)?;
            }
            other => other?,
        }
        std::fs::create_dir(path.join("_temp"))?;
        Ok(TempFolder::new(path))
    }

    /// Gives a folder back.
    pub fn give(&self, mut temp: TempFolder) {
        if temp.is_tidy() == Some(true) {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(temp);
        } else {
            remove(&temp.path);
        }
    }

    /// Removes the folders that are free.
    pub fn clear(&self) {
        for temp in std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner)) {
            remove(&temp.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(folders: &TempFolders) -> TempFolder {
        let mut temp = folders.take().unwrap();
        let file = temp.path.join("1_output");
        if temp.fresh.is_none() {
            File::create(&file).unwrap();
            temp.fresh = stamp_of(&file).map(|stamp| vec![(file, stamp)]);
        }
        temp.write_event("{}".to_owned()).unwrap();
        temp.write_script(&temp.path.join("_temp/1.sh"), b"a long secret").unwrap();
        temp
    }

    #[test]
    fn a_folder_serves_again_only_as_it_was_made() {
        let base = tempfile::tempdir().unwrap();
        let folders = TempFolders::new(base.path().join("tmp"));
        let spoil: [fn(&Path); 8] = [
            |at| std::fs::write(at.join("1_output"), "x").unwrap(),
            |at| std::fs::write(at.join("event.json"), "[]").unwrap(),
            |at| std::fs::write(at.join("more"), "").unwrap(),
            |at| std::fs::write(at.join("_temp/more"), "").unwrap(),
            |at| std::fs::remove_file(at.join("_temp/1.sh")).unwrap(),
            |at| std::fs::hard_link(at.join("_temp/1.sh"), at.parent().unwrap().join("held")).unwrap(),
            |at| std::fs::remove_file(at.join("event.json")).unwrap(),
            |at| {
                let script = at.join("_temp/1.sh");
                std::fs::remove_file(&script).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", &script).unwrap();
            },
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            for _ in 0..3 {
                let temp = used(&folders);
                let path = temp.path.clone();
                folders.give(temp);
                assert!(path.join("1_output").exists(), "{number}: it serves again");
            }
            let temp = used(&folders);
            let path = temp.path.clone();
            spoil(&path);
            folders.give(temp);
            assert!(!path.exists(), "{number}");
        }
    }

    /// As a clock of files that stands still between two writes makes it, looked at much later.
    #[test]
    fn a_change_that_shows_in_no_time_is_found() {
        let base = tempfile::tempdir().unwrap();
        let folders = TempFolders::new(base.path().join("tmp"));
        let mut temp = used(&folders);
        let path = temp.path.clone();
        std::fs::write(path.join(EVENT), "[]").unwrap();
        temp.event.as_mut().unwrap().stamp = stamp_of(&path.join(EVENT)).unwrap();
        while is_recent(&stamp_of(&path.join(EVENT)).unwrap()) {
            std::thread::yield_now();
        }
        folders.give(temp);
        assert!(!path.exists());
        // What was looked at while it was young is looked at again.
        folders.give(used(&folders));
        let young = folders.take().unwrap();
        let stamps = [stamp_of(&young.path).unwrap(), stamp_of(&young.path.join("_temp")).unwrap()];
        assert!(young.seen.is_none() || !stamps.iter().any(is_recent));
    }

    #[test]
    fn a_script_holds_nothing_of_the_one_before() {
        let base = tempfile::tempdir().unwrap();
        let folders = TempFolders::new(base.path().join("tmp"));
        folders.give(used(&folders));
        let mut temp = folders.take().unwrap();
        let script = temp.path.join("_temp/1.sh");
        temp.write_script(&script, b"short").unwrap();
        assert_eq!(std::fs::read(&script).unwrap(), b"short");
        let other = temp.path.join("_temp/1.py");
        temp.write_script(&other, b"print()").unwrap();
        assert!(!script.exists());
        assert_eq!(std::fs::read(&other).unwrap(), b"print()");
    }
}
