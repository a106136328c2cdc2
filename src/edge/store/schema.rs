//! The tables of `runs.db`, and the way from an older version to this one.

use super::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::Path;
use std::time::{Duration, Instant};

/// A process that makes the same store is waited for this long, and looked at this often.
const PATIENCE: Duration = Duration::from_secs(30);
/// See [`PATIENCE`].
const PAUSE: Duration = Duration::from_millis(5);

/// The version this program writes (`PRAGMA user_version`).
pub(super) const VERSION: i64 = 4;

/// Version 1: runs, events, wishes and the cache. `events` is append-only by trigger.
#[cfg(test)]
pub(super) const FIRST: &str = "
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    run        TEXT NOT NULL UNIQUE,
    workflow   TEXT NOT NULL,
    event      TEXT NOT NULL,
    branch     TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    created    INTEGER NOT NULL,
    summary    TEXT,
    events     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    owner      INTEGER,
    owner_lock TEXT
) STRICT;
CREATE TABLE events (
    run  INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE wishes (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL,
    wish   TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE cache (
    key     TEXT PRIMARY KEY,
    run     TEXT NOT NULL,
    number  INTEGER NOT NULL,
    parts   TEXT NOT NULL,
    receipt TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Version 2: leases over processes.
const SECOND: &str = "
CREATE TABLE leases (
    name       TEXT NOT NULL,
    holder     TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    owner      INTEGER NOT NULL,
    owner_lock TEXT NOT NULL,
    PRIMARY KEY (name, holder)
) STRICT, WITHOUT ROWID;
";

/// Version 3: leases stand in one line over all runs. Those of before were held by processes that
/// no new one runs beside.
const THIRD: &str = "
DROP TABLE leases;
CREATE TABLE leases (
    key        TEXT PRIMARY KEY,
    place      INTEGER NOT NULL,
    request    TEXT NOT NULL,
    held       TEXT,
    stop       TEXT,
    replaced   TEXT,
    owner      INTEGER NOT NULL,
    owner_lock TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE passed (
    place INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT;
";

/// Version 4: an event's place in the log is one number, the run's in the upper half. SQLite appends
/// to such a table without touching its other pages, and keeps events of up to 4 kB in one piece.
const FOURTH: &str = "
CREATE TABLE log (
    place INTEGER PRIMARY KEY,
    body  BLOB NOT NULL
) STRICT;
INSERT INTO log (place, body) SELECT (run << 32) + seq, body FROM events ORDER BY run, seq;
DROP TABLE events;
ALTER TABLE log RENAME TO events;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
";

/// All of it at once, for a new store: a run should not wait for history.
const NEW: &str = "
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    run        TEXT NOT NULL UNIQUE,
    workflow   TEXT NOT NULL,
    event      TEXT NOT NULL,
    branch     TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    created    INTEGER NOT NULL,
    summary    TEXT,
    events     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    owner      INTEGER,
    owner_lock TEXT
) STRICT;
CREATE TABLE events (
    place INTEGER PRIMARY KEY,
    body  BLOB NOT NULL
) STRICT;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE wishes (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL,
    wish   TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE cache (
    key     TEXT PRIMARY KEY,
    run     TEXT NOT NULL,
    number  INTEGER NOT NULL,
    parts   TEXT NOT NULL,
    receipt TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    key        TEXT PRIMARY KEY,
    place      INTEGER NOT NULL,
    request    TEXT NOT NULL,
    held       TEXT,
    stop       TEXT,
    replaced   TEXT,
    owner      INTEGER NOT NULL,
    owner_lock TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE passed (
    place INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 4;
";

/// Brings the tables to this version; refuses a newer one and touches nothing then.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(db)?;
    if found == VERSION {
        return Ok(());
    }
    if found > VERSION {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known: VERSION });
    }
    if found == 0 {
        // Nothing is there that a journal could bring back; `open::settle` forces what is made.
        match db.pragma_update(None, "journal_mode", "memory") {
            // Another process makes it just now.
            Err(error) if is_busy(&error) => {}
            done => done?,
        }
        db.pragma_update(None, "synchronous", "off")?;
    }
    write_ahead(db)?;
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited for the lock.
    let found = version(&step)?;
    if found == 0 {
        step.execute_batch(NEW)?;
        return Ok(step.commit()?);
    }
    if found < 2 {
        step.execute_batch(SECOND)?;
    }
    if found < 3 {
        step.execute_batch(THIRD)?;
    }
    if found < 4 {
        step.execute_batch(FOURTH)?;
    }
    step.pragma_update(None, "user_version", VERSION)?;
    Ok(step.commit()?)
}

/// Changes to a write-ahead log. Another process that makes the same store just now is waited for: SQLite
/// itself does not wait for this lock.
fn write_ahead(db: &Connection) -> Result<(), StoreError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match db.pragma_update(None, "journal_mode", "wal") {
            Err(error) if is_busy(&error) && Instant::now() < until => std::thread::sleep(PAUSE),
            done => return Ok(done?),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}
