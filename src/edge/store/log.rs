//! The log of all runs over SQLite.

use super::{CacheEntry, Line, OwnedRun, RunLog, RunRow, Store, StoreError, Sync};
use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::Value as Json;
use std::sync::Arc;
use tidegate_flow::job::Receipt;
use tidegate_flow::queue::{Capacity, Request};
use tidegate_flow::run::{CacheKey, EventKind, RunCreated, RunEvent, RunSummary};
use tidegate_flow::wire::v1::{decode_event, encode_event};

const ROW: &str =
    "SELECT run, number, workflow, event, branch, commit_id, created, summary, owner, owner_lock
                   FROM runs";

impl RunLog for Store {
    /// The number is the store's: the event is kept with it in, whatever it said before.
    fn create(&mut self, first: &RunEvent) -> Result<OwnedRun, StoreError> {
        let EventKind::RunCreated(created) = &first.kind else {
            return Err(refused("", 0, "the first event of a log is its creation"));
        };
        self.settle()?;
        let lock = self.locks.own()?;
        self.within(|change| {
            let github = created.contexts.get("github");
            change.prepare_cached(
                "INSERT INTO runs (run, workflow, event, branch, commit_id, created, events, epoch, owner, owner_lock)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 1, ?7, ?8)",
            )?.execute(params![
                created.run, created.workflow, created.event, branch(github), created.source.commit,
                first.at.0, std::process::id(), lock,
            ])?;
            let number = change.last_insert_rowid();
            let owned = OwnedRun { run: created.run.clone(), number: unsigned(number), epoch: 1 };
            let numbered = RunCreated { number: owned.number, ..RunCreated::clone(created) };
            let event = RunEvent { at: first.at, kind: EventKind::RunCreated(Arc::new(numbered)) };
            insert(change, &owned.run, number, 0, &[event])?;
            Ok(owned)
        })
    }

    fn own(&mut self, run: &str) -> Result<OwnedRun, StoreError> {
        self.settle()?;
        let lock = self.locks.own()?;
        // Asked before the write: whether it lives cannot change from dead to alive.
        let row: Option<(i64, i64, Option<u32>, Option<String>)> = self
            .db
            .prepare_cached("SELECT number, epoch, owner, owner_lock FROM runs WHERE run = ?1")
            .and_then(|mut ask| {
                ask.query_row([run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                    .optional()
            })
            .map_err(|error| self.wrong(error))?;
        let Some((number, epoch, owner, held)) = row else {
            return Err(StoreError::NoSuchRun(run.to_owned()));
        };
        if let (Some(pid), Some(name)) = (owner, &held)
            && !self.locks.is_own(name)
            && self.locks.alive(name)
        {
            return Err(StoreError::Owned { number: unsigned(number), pid });
        }
        let taken = self.within(|change| {
            // What the dead owner was asked and did not hear is not meant for the next one.
            change.prepare_cached("DELETE FROM wishes WHERE run = ?1")?.execute([number])?;
            Ok(change
                .prepare_cached(
                    "UPDATE runs SET epoch = epoch + 1, owner = ?1, owner_lock = ?2 WHERE number = ?3 AND epoch = ?4",
                )?
                .execute(params![std::process::id(), lock, number, epoch])?)
        })?;
        if taken == 0 {
            return Err(StoreError::TakenOver(unsigned(number)));
        }
        Ok(OwnedRun { run: run.to_owned(), number: unsigned(number), epoch: unsigned(epoch) + 1 })
    }

    fn append(&mut self, run: &OwnedRun, events: &[RunEvent], sync: Sync) -> Result<(), StoreError> {
        if sync == Sync::Disk {
            self.settled()?;
            self.set_synchronous("full")?;
        }
        let done = self.within(|change| append(change, run, events));
        if sync == Sync::Disk {
            self.set_synchronous("normal")?;
        }
        done
    }

    fn events(&self, run: &str, from: u64) -> Result<Vec<RunEvent>, StoreError> {
        self.logged(run, from, -1)
    }

    fn first_event(&self, run: &str) -> Result<RunEvent, StoreError> {
        let first = self.logged(run, 0, 1)?.into_iter().next();
        first.ok_or_else(|| StoreError::NoSuchRun(run.to_owned()))
    }

    fn list(&self, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let wrong = |error| self.wrong(error);
        let mut ask =
            self.db.prepare_cached(&format!("{ROW} ORDER BY number DESC LIMIT ?1")).map_err(wrong)?;
        ask.query_map([limit], |row| self.row(row)).and_then(Iterator::collect).map_err(wrong)
    }

    /// Whose run it is stands in its first event alone: a store of several projects has no column for it.
    fn last_good(
        &self,
        project: &str,
        workflow: &str,
        branch: &str,
        before: u64,
    ) -> Result<Option<RunRow>, StoreError> {
        let wrong = |error| self.wrong(error);
        let mut ask = self
            .db
            .prepare_cached(&format!(
                "{ROW} WHERE workflow = ?1 AND branch = ?2 AND number < ?3
                 AND summary ->> 'conclusion' = 'success'
                 AND ?4 = (SELECT coalesce(CAST(body AS TEXT) ->> '$.kind.run-created.project', '')
                           FROM events WHERE place = number << 32)
                 ORDER BY number DESC LIMIT 1"
            ))
            .map_err(wrong)?;
        ask.query_row(params![workflow, branch, signed(before), project], |row| self.row(row))
            .optional()
            .map_err(wrong)
    }

    /// `17` is a number; a name that opens with a zero is the start of a ULID, as all of them do.
    fn find(&self, name: &str) -> Result<Option<RunRow>, StoreError> {
        let number = name.strip_prefix('#').unwrap_or(name);
        let found = if !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit()) {
            self.rows_where("number = ?1", &number.parse::<i64>().unwrap_or(-1))
        } else {
            let start = name.to_ascii_uppercase();
            if start.is_empty() || !start.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Ok(None);
            }
            self.rows_where("run GLOB ?1 || '*'", &start)
        }?;
        match found.len() {
            0 | 1 => Ok(found.into_iter().next()),
            _ => Err(StoreError::Ambiguous(name.to_owned())),
        }
    }

    fn release(&mut self, run: &OwnedRun) -> Result<(), StoreError> {
        self.within(|change| {
            change
                .prepare_cached(
                    "UPDATE runs SET owner = NULL, owner_lock = NULL WHERE number = ?1 AND epoch = ?2",
                )?
                .execute(params![signed(run.number), signed(run.epoch)])?;
            Ok(())
        })
    }

    fn request(&mut self, run: &str, wish: &str, reason: &str) -> Result<(), StoreError> {
        let added = self.within(|change| {
            Ok(change
                .prepare_cached(
                    "INSERT INTO wishes (run, wish, reason) SELECT number, ?2, ?3 FROM runs WHERE run = ?1",
                )?
                .execute(params![run, wish, reason])?)
        })?;
        if added == 0 { Err(StoreError::NoSuchRun(run.to_owned())) } else { Ok(()) }
    }

    fn wishes(&mut self, run: &OwnedRun) -> Result<Vec<(String, String)>, StoreError> {
        let number = signed(run.number);
        let some = self
            .db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM wishes WHERE run = ?1)")
            .and_then(|mut ask| ask.query_row([number], |row| row.get::<_, bool>(0)))
            .map_err(|error| self.wrong(error))?;
        if !some {
            // Asked often: reading takes no lock from the writers.
            return Ok(Vec::new());
        }
        self.within(|change| {
            let mut ask =
                change.prepare_cached("DELETE FROM wishes WHERE run = ?1 RETURNING id, wish, reason")?;
            let mut found: Vec<(i64, String, String)> = ask
                .query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            found.sort_unstable();
            Ok(found.into_iter().map(|(_, wish, reason)| (wish, reason)).collect())
        })
    }

    fn stand(
        &mut self,
        machine: &Capacity,
        leave: &[String],
        join: &[(String, Request)],
    ) -> Result<Line, StoreError> {
        self.stand_in_line(machine, leave, join)
    }

    fn changed(&mut self) -> Result<bool, StoreError> {
        let now: i64 = self
            .db
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut ask| ask.query_row([], |row| row.get(0)))
            .map_err(|error| self.wrong(error))?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }

    fn cached(&self, key: &str) -> Result<Option<CacheEntry>, StoreError> {
        Ok(self.cached_many(&[key.to_owned()])?.pop().flatten())
    }

    fn cached_many(&self, keys: &[String]) -> Result<Vec<Option<CacheEntry>>, StoreError> {
        let wrong = |error| self.wrong(error);
        let asked = Json::from(keys).to_string();
        let mut ask = self
            .db
            .prepare_cached(
                "SELECT cache.run, cache.number, cache.receipt FROM json_each(?1) AS asked
                 LEFT JOIN cache ON cache.key = asked.value ORDER BY asked.key",
            )
            .map_err(wrong)?;
        let mut rows = ask.query([asked]).map_err(wrong)?;
        let mut found = Vec::with_capacity(keys.len());
        while let Some(row) = rows.next().map_err(wrong)? {
            found.push(entry(row).map_err(wrong)?);
        }
        Ok(found)
    }

    fn keep(&mut self, key: &CacheKey, entry: &CacheEntry) -> Result<(), StoreError> {
        let parts = json(&key.parts)?;
        let receipt = json(&entry.receipt)?;
        self.within(|change| {
            change
                .prepare_cached(
                    "INSERT INTO cache (key, run, number, parts, receipt) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (key) DO UPDATE SET run = ?2, number = ?3, parts = ?4, receipt = ?5",
                )?
                .execute(params![key.key, entry.run, signed(entry.number), parts, receipt])?;
            Ok(())
        })
    }
}

impl Store {
    /// Reads at most `limit` events of a run from a position on; all where it is below 0.
    fn logged(&self, run: &str, from: u64, limit: i64) -> Result<Vec<RunEvent>, StoreError> {
        let wrong = |error| self.wrong(error);
        let mut ask = self
            .db
            .prepare_cached(
                "SELECT place & 0xffffffff, body FROM events, runs
                 WHERE run = ?1 AND place BETWEEN (number << 32) + ?2 AND (number << 32) + 0xffffffff
                 ORDER BY place LIMIT ?3",
            )
            .map_err(wrong)?;
        let mut rows = ask.query(params![run, signed(from), limit]).map_err(wrong)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(wrong)? {
            let seq: i64 = row.get(0).map_err(wrong)?;
            let body = row.get_ref(1).and_then(|body| Ok(body.as_blob()?)).map_err(wrong)?;
            events.push(decode_event(body).map_err(|error| refused(run, unsigned(seq), &error.to_string()))?);
        }
        if events.is_empty() && from == 0 {
            return Err(StoreError::NoSuchRun(run.to_owned()));
        }
        Ok(events)
    }

    /// Runs a change: all of it or nothing. On a full disk the ballast is given up for it, piece by
    /// piece.
    pub(super) fn within<T>(
        &mut self,
        change: impl Fn(&Transaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match self.change(&change) {
                Err(error) if lacks_room(&error) && self.ballast.give_up() => {}
                other => return other,
            }
        }
    }

    fn change<T>(&mut self, change: impl Fn(&Transaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let dir = &self.dir;
        let named = |error| match error {
            StoreError::Log(inner) => super::open::named(inner, dir),
            other => other,
        };
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| named(error.into()))?;
        let value = change(&transaction).map_err(named)?;
        transaction.commit().map_err(|error| named(error.into()))?;
        Ok(value)
    }

    fn set_synchronous(&self, level: &str) -> Result<(), StoreError> {
        self.db.pragma_update(None, "synchronous", level).map_err(|error| self.wrong(error))
    }

    fn rows_where(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Vec<RunRow>, StoreError> {
        let wrong = |error| self.wrong(error);
        let mut ask = self
            .db
            .prepare_cached(&format!("{ROW} WHERE {condition} ORDER BY number DESC LIMIT 2"))
            .map_err(wrong)?;
        ask.query_map([value], |row| self.row(row)).and_then(Iterator::collect).map_err(wrong)
    }

    fn row(&self, row: &Row) -> rusqlite::Result<RunRow> {
        let summary: Option<String> = row.get(7)?;
        let owner: Option<u32> = row.get(8)?;
        let lock: Option<String> = row.get(9)?;
        Ok(RunRow {
            run: row.get(0)?,
            number: unsigned(row.get(1)?),
            workflow: row.get(2)?,
            event: row.get(3)?,
            branch: row.get(4)?,
            commit: row.get(5)?,
            created: row.get(6)?,
            // A summary of another version is shown as none rather than hiding all the runs.
            summary: summary.and_then(|text| serde_json::from_str::<RunSummary>(&text).ok()),
            owner: owner.filter(|_| lock.is_some_and(|name| self.locks.alive(&name))),
        })
    }
}

/// Whether more room may help. A quota is to SQLite a write like any that failed; one that could not be
/// forced to disk is never tried again.
fn lacks_room(error: &StoreError) -> bool {
    let no_write = [rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_IOERR_SHMSIZE];
    match error {
        StoreError::Full(_) => true,
        StoreError::Log(error) => {
            error.sqlite_error().is_some_and(|error| no_write.contains(&error.extended_code))
        }
        _ => false,
    }
}

fn append(change: &Transaction, run: &OwnedRun, events: &[RunEvent]) -> Result<(), StoreError> {
    let number = signed(run.number);
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let after: Option<i64> = change
        .prepare_cached(
            "UPDATE runs SET events = events + ?1 WHERE number = ?2 AND epoch = ?3 RETURNING events",
        )?
        .query_row(params![count, number, signed(run.epoch)], |row| row.get(0))
        .optional()?;
    let Some(after) = after else { return Err(StoreError::TakenOver(run.number)) };
    insert(change, &run.run, number, after - count, events)?;
    if let Some(EventKind::RunEnded(summary)) = events.last().map(|event| &event.kind) {
        change
            .prepare_cached("UPDATE runs SET summary = ?1 WHERE number = ?2")?
            .execute(params![json(summary)?, number])?;
    }
    Ok(())
}

fn insert(
    change: &Transaction,
    run: &str,
    number: i64,
    from: i64,
    events: &[RunEvent],
) -> Result<(), StoreError> {
    let mut add = change.prepare_cached("INSERT INTO events (place, body) VALUES (?1, ?2)")?;
    for (seq, event) in (from..).zip(events) {
        let body = encode_event(event).map_err(|error| refused(run, unsigned(seq), &error.to_string()))?;
        add.execute(params![(number << 32) + seq, body])?;
    }
    Ok(())
}

fn entry(row: &Row) -> rusqlite::Result<Option<CacheEntry>> {
    let Some(run) = row.get::<_, Option<String>>(0)? else { return Ok(None) };
    let text = row.get_ref(2)?.as_str()?;
    // What cannot be read any more is a miss: the job runs again.
    let Ok(receipt) = serde_json::from_str::<Receipt>(text) else { return Ok(None) };
    Ok(Some(CacheEntry { run, number: unsigned(row.get(1)?), receipt }))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| refused("", 0, &error.to_string()))
}

fn refused(run: &str, seq: u64, reason: &str) -> StoreError {
    StoreError::Decode { run: run.to_owned(), seq, reason: reason.to_owned() }
}

fn branch(github: Option<&Json>) -> &str {
    let text = |name: &str| github.and_then(|github| github.get(name)).and_then(Json::as_str).unwrap_or("");
    if text("head_ref").is_empty() { text("ref_name") } else { text("head_ref") }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
