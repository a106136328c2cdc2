//! Opening a store: the folder, its `.gitignore`, the database. The log itself is in `log.rs`.

use super::ballast::Ballast;
use super::owner::Locks;
use super::{FileObjects, Objects, StoreError, io, schema};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(30);

/// Pages that SQLite keeps in memory, in KiB; negative is its way to say so.
const CACHE_KIB: i64 = -512;

/// Pages (of 4 KiB) in SQLite's log after which they are moved into the database.
const CHECKPOINT_PAGES: i64 = 4096;

/// Bytes of SQLite's log that a run moves into the database before it needs to.
const LONG_LOG: u64 = 1 << 20;

/// Largest size in bytes of a database that may never have been forced to disk.
const NEW: u64 = 8192;

/// Age at which a file's name has long been on disk, whoever made it.
const YOUNG: Duration = Duration::from_mins(2);

/// A new database on its way to the disk.
#[derive(Debug)]
enum Settling {
    NotYet,
    Begun(JoinHandle<std::io::Result<()>>),
    Done,
}

/// A store, opened by one thread; open another for another thread.
#[derive(Debug)]
pub struct Store {
    pub(super) db: Connection,
    pub(super) dir: PathBuf,
    pub(super) locks: Locks,
    pub(super) ballast: Ballast,
    /// The database as it was when last asked whether others changed it.
    pub(super) seen: i64,
    objects: Arc<FileObjects>,
    settling: Settling,
}

impl Store {
    /// Opens the store in a folder, and makes it where there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("runs.db");
        if !path.exists() {
            make_folder(dir)?;
        }
        // No mutex inside SQLite: one thread at a time, as `&mut` says.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(&path, flags).map_err(|error| named(error, dir))?;
        prepare(&mut db, &path).map_err(|error| match error {
            StoreError::Log(inner) => named(inner, dir),
            other => other,
        })?;
        let ballast = Ballast::of(dir);
        Ok(Self {
            db,
            dir: dir.to_owned(),
            locks: Locks::new(dir.join("locks")),
            seen: 0,
            objects: Arc::new(FileObjects::open(dir.join("objects"))?),
            settling: Settling::NotYet,
            ballast,
        })
    }

    /// Begins what a run needs of the disk and nobody should wait for; making or owning one does so, too.
    /// Who only reads needs nothing.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        if matches!(self.settling, Settling::NotYet) {
            let begun = settle(self.dir.join("runs.db"), self.ballast.clone())?;
            self.settling = begun.map_or(Settling::Done, Settling::Begun);
        }
        Ok(())
    }

    /// Waits until a new database is on disk: without it the log beside it is nothing after a power cut.
    pub(super) fn settled(&mut self) -> Result<(), StoreError> {
        let Settling::Begun(settling) = std::mem::replace(&mut self.settling, Settling::Done) else {
            return Ok(());
        };
        let forced = settling.join().unwrap_or_else(|_| Err(std::io::Error::other("it could not be done")));
        forced.map_err(|error| io("forcing to disk", &self.dir.join("runs.db"), error))
    }

    /// Moves what earlier runs left in SQLite's log into the database, on a thread: the first who opens
    /// a store reads all of that log. It may be cut off at any moment.
    pub fn compact(&self) {
        let path = self.dir.join("runs.db");
        let long = std::fs::metadata(log_of(&path)).is_ok_and(|log| log.len() > LONG_LOG);
        if long {
            let thread = std::thread::Builder::new().name("compact".into());
            // What fails now is tried by the next run.
            let _ = thread.spawn(move || move_log(&path));
        }
    }

    /// Returns the folder it lives in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the content kept beside the log.
    pub fn objects(&self) -> Arc<dyn Objects> {
        Arc::<FileObjects>::clone(&self.objects)
    }

    /// Returns the same with what only files can do: snapshots and work folders need it.
    pub fn file_objects(&self) -> Arc<FileObjects> {
        Arc::clone(&self.objects)
    }

    /// Gives a database error the name people understand.
    pub(super) fn wrong(&self, error: rusqlite::Error) -> StoreError {
        named(error, &self.dir)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever closed it may remove its folder.
        let _ = self.settled();
    }
}

fn prepare(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(32);
    schema::migrate(db, path)?;
    // Process death loses nothing under NORMAL; power loss is the business of `Sync::Disk`.
    db.pragma_update(None, "synchronous", "normal")?;
    // The checkpoint forces the disk twice, in the way of whoever commits: not every four megabytes.
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // A log is written at its end: the cache need not hold more than the way there.
    db.pragma_update(None, "cache_size", CACHE_KIB)?;
    // The checkpoint at the last close would force the disk three times at the end of every run.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// Forces what was just made to disk on a thread of its own: a new database, which until its first
/// checkpoint is a page or two, all else being in the log beside it; and the names of both files.
/// SQLite would do the latter at the first forced commit, in everybody's way (`.cargo/config.toml`).
/// Nobody waits for the ballast either.
fn settle(path: PathBuf, ballast: Ballast) -> Result<Option<JoinHandle<std::io::Result<()>>>, StoreError> {
    let size = std::fs::metadata(&path).map_err(|error| io("reading", &path, error))?.len();
    let small = size <= NEW;
    if !small && !recent(&path) {
        ballast.keep();
        return Ok(None);
    }
    let force = move || {
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        // Both at once: a slow disk takes as long for two.
        let names = std::thread::Builder::new().spawn(move || File::open(folder)?.sync_all())?;
        if small {
            let file = File::open(&path)?;
            let forced = file.sync_all();
            // Closing any descriptor of the file would drop the locks that SQLite has on it.
            std::mem::forget(file);
            forced?;
        }
        let forced = names.join().unwrap_or_else(|_| Err(std::io::Error::other("it could not be done")));
        ballast.keep();
        forced
    };
    let thread = std::thread::Builder::new().name("new store".into()).spawn(force);
    Ok(Some(thread.map_err(|error| io("making", Path::new("a thread"), error))?))
}

/// Returns the file beside a database that SQLite appends to.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn move_log(path: &Path) -> rusqlite::Result<()> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "synchronous", "normal")?;
    // Waits for nobody: who reads or writes goes on.
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Tells whether SQLite's log beside a database is so young that its name may not be on disk.
fn recent(path: &Path) -> bool {
    let made = std::fs::metadata(log_of(path)).and_then(|log| log.created());
    let age = made.ok().and_then(|made| made.elapsed().ok());
    age.is_none_or(|age| age < YOUNG)
}

fn make_folder(dir: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(dir).map_err(|error| io("making", dir, error))?;
    let ignore = dir.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, "*\n").map_err(|error| io("writing", &ignore, error))?;
    }
    Ok(())
}

/// Names an error of the database: full and read-only are for people, the rest is SQLite's.
pub(super) fn named(error: rusqlite::Error, dir: &Path) -> StoreError {
    let said_no = |kind: ErrorKind| StoreError::Io {
        doing: "writing to",
        path: dir.display().to_string(),
        source: kind.into(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(dir.display().to_string()),
        Some(ErrorCode::ReadOnly) => said_no(ErrorKind::ReadOnlyFilesystem),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Corrupt { path: dir.join("runs.db").display().to_string(), source: error }
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => said_no(ErrorKind::PermissionDenied),
        _ => StoreError::Log(error),
    }
}

/// Returns the id of the store in a folder: 32 hex digits that no other store has, made when they are
/// first asked for. It names what this store owns elsewhere.
pub fn store_id(dir: &Path) -> Result<String, StoreError> {
    let path = dir.join("id");
    let wrong = |e| io("reading the store's id in", &path, e);
    if let Ok(id) = std::fs::read_to_string(&path) {
        return Ok(id.trim().to_owned());
    }
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| wrong(e.into()))?;
    let id = format!("{:032x}", u128::from_be_bytes(bytes));
    let new = dir.join(format!("id.{}", std::process::id()));
    std::fs::write(&new, &id).map_err(wrong)?;
    // The first one counts, whoever made it.
    let linked = std::fs::hard_link(&new, &path);
    let _ = std::fs::remove_file(&new);
    match linked {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(wrong(e)),
        _ => Ok(std::fs::read_to_string(&path).map_err(wrong)?.trim().to_owned()),
    }
}
