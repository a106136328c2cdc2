//! Folders for the temporary files of attempts: command files, scripts, `RUNNER_TEMP`.
//!
//! Making and removing ten files for each attempt costs more than starting its shell, so a folder
//! that an attempt left as it found it serves the next one. All processes of the attempt have ended
//! by then, so nobody can write to it later.

use super::keep::{Stamp, stamp_of};
use super::place::remove;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A folder of one attempt.
#[derive(Debug)]
pub struct TempFolder {
    /// The folder; `RUNNER_TEMP` is `_temp` in it.
    pub path: PathBuf,
    /// The first step's command files: empty, and these are their stamps.
    pub fresh: Option<Vec<(PathBuf, Stamp)>>,
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
        Ok(TempFolder { path, fresh: None })
    }

    /// Gives a folder back.
    pub fn give(&self, temp: TempFolder) {
        match tidy(&temp) {
            Some(true) => self.free.lock().unwrap_or_else(PoisonError::into_inner).push(temp),
            _ => remove(&temp.path),
        }
    }

    /// Removes the folders that are free.
    pub fn clear(&self) {
        for temp in std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner)) {
            remove(&temp.path);
        }
    }
}

/// Removes the script and the event; tells whether the rest is as it was made.
fn tidy(temp: &TempFolder) -> Option<bool> {
    let fresh = temp.fresh.as_ref()?;
    if fresh.iter().any(|(path, stamp)| stamp_of(path).as_ref() != Some(stamp)) {
        return None;
    }
    let mut others = 0;
    for entry in std::fs::read_dir(&temp.path).ok()? {
        let name = entry.ok()?.file_name();
        if name == "event.json" {
            std::fs::remove_file(temp.path.join(name)).ok()?;
        } else {
            others += 1;
        }
    }
    for entry in std::fs::read_dir(temp.path.join("_temp")).ok()? {
        let entry = entry.ok()?;
        // The script of the first step; anything else is the step's own.
        if !entry.file_name().to_string_lossy().starts_with("1.") || !entry.file_type().ok()?.is_file() {
            return None;
        }
        std::fs::remove_file(entry.path()).ok()?;
    }
    Some(others == fresh.len() + 1)
}
